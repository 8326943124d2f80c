"""Content codings undone within bounds: gzip, deflate, and br and zstd where their packages are installed.

A few bytes can stand for gigabytes, so every step of a decoding is counted, and nothing is made beyond the bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol

CHUNK_BYTES = 1 << 16
SLICE_BYTES = 1 << 14
"""How much is decoded at once: decoders copy what they leave, and slices keep those copies small."""
MOST_CODINGS = 3
"""Codings on top of one another; honest senders use one."""
MOST_MEMBERS = 10_000
"""Members of a gzip or zstd stream behind one another. Each costs some microseconds, also when it is empty."""
ZSTD_WINDOW_LOG = 23
"""8 MB, the largest window that an HTTP sender may use (RFC 9659, 3)."""

_SAME = frozenset({"", "identity"})
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}


class CodingError(ValueError):
    """A body that cannot be decoded. The text says why, in half a sentence."""


class UnknownCodingError(CodingError):
    """A body in a content coding that is not undone here."""

    def __init__(self, coding: str) -> None:
        super().__init__(f"its content coding {coding!r:.60} is none of {', '.join(supported())}")


class DecodedTooLargeError(CodingError):
    """A body that is larger than the bound, decoded or on the way there."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"decoded it is larger than {max_bytes} bytes")


class _Step(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    @property
    def is_complete(self) -> bool: ...


class Decoding:
    """Undoes what the header ``content-encoding`` names, part by part.

    ``max_bytes`` bounds what comes in and what each coding gives.

    Raises:
        UnknownCodingError: it names a coding that is not undone here.
    """

    def __init__(self, content_encoding: str, *, max_bytes: int) -> None:
        self._steps = [_step(name) for name in reversed(_codings(content_encoding))]
        self._max_bytes = max_bytes
        self._counts = [0] * (len(self._steps) + 1)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next part comes to, in pieces.

        Raises:
            CodingError: it is not encoded as it says, or too large.
        """
        return self._through(0, data)

    def finish(self) -> None:
        """All of it was fed.

        Raises:
            CodingError: something is missing.
        """
        if self._counts[0] and not all(step.is_complete for step in self._steps):
            raise CodingError("it ends before its coding does")

    def _through(self, place: int, data: bytes) -> Iterator[bytes]:
        self._counts[place] += len(data)
        if self._counts[place] > self._max_bytes:
            raise DecodedTooLargeError(self._max_bytes)
        if place == len(self._steps):
            yield data
            return
        for start in range(0, len(data), SLICE_BYTES):
            for piece in self._steps[place].feed(data[start : start + SLICE_BYTES]):
                yield from self._through(place + 1, piece)


def decoded(body: bytes, content_encoding: str, *, max_bytes: int) -> bytes:
    """The body with its codings undone.

    Raises:
        CodingError: a coding is unknown, the body is not encoded as it says, or it is too large.
    """
    decoding = Decoding(content_encoding, max_bytes=max_bytes)
    pieces = list(decoding.feed(body))
    decoding.finish()
    return b"".join(pieces)


@cache
def supported() -> Sequence[str]:
    """The codings that are undone here, in the order in which we would like to get them."""
    extra = [name for name, module in (("br", "brotli"), ("zstd", _ZSTD)) if _module(module) is not None]
    return ("gzip", "deflate", *extra)


def is_plain(content_encoding: str) -> bool:
    """Whether the header names no coding, so that there is nothing to undo."""
    return content_encoding.strip().lower() in _SAME


def _codings(content_encoding: str) -> list[str]:
    named = [name for each in content_encoding.split(",") if (name := each.strip().lower()) not in _SAME]
    if len(named) > MOST_CODINGS:
        raise CodingError(f"more than {MOST_CODINGS} content codings lie on top of one another")
    for name in named:
        if _NAMES.get(name) not in supported():
            raise UnknownCodingError(name)
    return [_NAMES[name] for name in named]


def _step(name: str) -> _Step:
    if name == "br":
        return _Brotli()
    return _Zstd() if name == "zstd" else _Zlib(is_gzip=name == "gzip")


class _Zlib:
    """gzip, of any number of members, and deflate in the form of its RFC or, as some send it, without the frame."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._made: Any = zlib.decompressobj(16 + zlib.MAX_WBITS) if is_gzip else None
        self._start = b""
        self._members = 1

    @property
    def is_complete(self) -> bool:
        return self._made is not None and bool(self._made.eof)

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._made is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._start = self._start, b""
            has_frame = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950, 2.2
            self._made = zlib.decompressobj(zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS)
        while True:
            if self._made.eof:
                # Another member may follow; zeros and other things behind the last one mean nothing.
                if not (self._is_gzip and data.startswith(b"\x1f\x8b")):
                    return
                self._members = _counted(self._members)
                self._made = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                piece = self._made.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise CodingError(f"it is not encoded as it says ({error})") from error
            if piece:
                yield piece
            data = self._made.unused_data if self._made.eof else self._made.unconsumed_tail
            if not data and len(piece) < CHUNK_BYTES:
                return


class _Brotli:
    def __init__(self) -> None:
        self._made = _module("brotli").Decompressor()

    @property
    def is_complete(self) -> bool:
        return bool(self._made.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        while not self._made.is_finished():
            try:
                piece = self._made.process(data, output_buffer_limit=CHUNK_BYTES)
            except _module("brotli").error as error:
                raise CodingError(f"it is not encoded as it says ({error})") from error
            data = b""
            if piece:
                yield piece
            elif self._made.can_accept_more_data():
                return


class _Zstd:
    """Any number of frames."""

    def __init__(self) -> None:
        self._zstd = _module(_ZSTD)
        self._made = self._new()
        self._members = 1

    @property
    def is_complete(self) -> bool:
        return bool(self._made.eof)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._made.eof:
                if not data:
                    return
                self._members = _counted(self._members)
                self._made = self._new()
            try:
                piece = self._made.decompress(data, CHUNK_BYTES)
            except self._zstd.ZstdError as error:
                raise CodingError(f"it is not encoded as it says ({error})") from error
            data = self._made.unused_data if self._made.eof else b""
            if piece:
                yield piece
            elif not data or self._made.needs_input:
                return

    def _new(self) -> Any:
        option = self._zstd.DecompressionParameter.window_log_max
        return self._zstd.ZstdDecompressor(options={option: ZSTD_WINDOW_LOG})


def _counted(members: int) -> int:
    if members >= MOST_MEMBERS:
        raise CodingError(f"it has more than {MOST_MEMBERS} members")
    return members + 1


_ZSTD = "backports.zstd"


@cache
def _module(name: str) -> Any:
    """The package, or ``None`` where it is not installed. Python 3.14 brings zstd itself."""
    for each in ("compression.zstd", name) if name == _ZSTD else (name,):
        try:
            return import_module(each)
        except ImportError:
            continue
    return None
