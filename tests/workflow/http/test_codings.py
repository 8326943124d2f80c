"""Content codings are undone, within bounds."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from workflow.http.codings import (
    MOST_MEMBERS,
    CodingError,
    DecodedTooLargeError,
    UnknownCodingError,
    decoded,
    supported,
)

DATA = bytes(range(256)) * 500
MAX = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the frame that RFC 9110 asks for; some servers send it."""
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def package(name: str) -> Any:
    """A package that not every installation has."""
    return pytest.importorskip(name)


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", gzip.compress(DATA)),
        ("X-GZip", gzip.compress(DATA)),
        ("gzip", gzip.compress(DATA[:99]) + gzip.compress(DATA[99:])),
        ("gzip", gzip.compress(DATA) + bytes(100)),
        ("deflate", zlib.compress(DATA)),
        ("deflate", raw_deflate(DATA)),
        ("identity", DATA),
        ("", DATA),
        ("deflate, gzip", gzip.compress(zlib.compress(DATA))),
    ],
    ids=["gzip", "x-gzip", "members", "zeros", "deflate", "raw deflate", "identity", "none", "two"],
)
def test_codings_are_undone(coding: str, encoded: bytes) -> None:
    assert decoded(encoded, coding, max_bytes=MAX) == DATA


def test_br_and_zstd_are_undone_where_their_packages_are_installed() -> None:
    brotli, zstd = package("brotli"), package("backports.zstd")
    assert supported() == ("gzip", "deflate", "br", "zstd")
    assert decoded(brotli.compress(DATA), "br", max_bytes=MAX) == DATA
    two = zstd.compress(DATA[:99]) + zstd.compress(DATA[99:])
    assert decoded(two, "zstd", max_bytes=MAX) == DATA


@pytest.mark.parametrize("coding", ["compress", "aws-chunked", "gzip, exi", "utf-8", "x" * 500, "br;q=1"])
def test_unknown_codings_are_refused(coding: str) -> None:
    with pytest.raises(UnknownCodingError, match="none of gzip, deflate"):
        decoded(b"anything", coding, max_bytes=MAX)


def test_codings_without_their_package_are_unknown() -> None:
    for name, module in (("br", "brotli"), ("zstd", "backports.zstd")):
        try:
            importlib.import_module(module)
        except ImportError:
            with pytest.raises(UnknownCodingError):
                decoded(b"anything", name, max_bytes=MAX)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"not encoded", b"\x1f\x8b\x08\x00 and no more", b"\x78"])
def test_what_is_not_encoded_as_it_says_is_an_error(coding: str, body: bytes) -> None:
    with pytest.raises(CodingError):
        decoded(body, coding, max_bytes=MAX)


@pytest.mark.parametrize("left_out", [1, 8, 20])
def test_what_ends_too_early_is_an_error(left_out: int) -> None:
    with pytest.raises(CodingError):
        decoded(gzip.compress(DATA)[:-left_out], "gzip", max_bytes=MAX)


ZEROS = bytes(64 * MAX)

BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(ZEROS),
    "deflate": lambda: zlib.compress(ZEROS),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(ZEROS)),
    "br": lambda: importlib.import_module("brotli").compress(ZEROS),
    "zstd": lambda: importlib.import_module("backports.zstd").compress(ZEROS),
}
"""Small bodies that are large when they are decoded, at the end or on the way there."""


@pytest.mark.parametrize("coding", [each for each in BOMBS if set(each.split(", ")) <= set(supported())])
def test_bombs_are_put_out_at_the_bound(coding: str) -> None:
    with pytest.raises(DecodedTooLargeError):
        decoded(BOMBS[coding](), coding, max_bytes=MAX)


def test_what_goes_in_is_bounded_as_well() -> None:
    with pytest.raises(DecodedTooLargeError):
        decoded(b"\0\0\0\xff\xff" * MAX, "deflate", max_bytes=MAX)  # blocks with nothing in them


def test_members_and_codings_are_counted() -> None:
    with pytest.raises(CodingError, match="members"):
        decoded(gzip.compress(b"") * (MOST_MEMBERS + 1), "gzip", max_bytes=MAX)
    with pytest.raises(CodingError, match="on top of one another"):
        decoded(b"x", "gzip, gzip, gzip, gzip", max_bytes=MAX)
