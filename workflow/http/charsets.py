"""Text out of bytes, by what a header says, what the bytes say, or a default.

The labels are those of the WHATWG Encoding standard, and UTF-32. Python's own names are not asked: among its codecs
are some that are no charsets (``idna``, ``undefined``, ``unicode_escape``), and it keeps every name it was asked for.
"""

from __future__ import annotations

import codecs
import re
from functools import cache

UTF_8 = "utf-8"
FALLBACK = "windows-1252"
"""For bytes that are no UTF-8 and do not say what they are, as browsers read them."""

_LABELS = """
utf-8: utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf-8-sig utf_8 utf8-sig
utf-16-le: utf-16le unicode csunicode iso-10646-ucs-2 ucs-2 unicodefeff utf-16 utf16 utf_16
utf-16-be: utf-16be unicodefffe
utf-32-le: utf-32le utf-32 utf32 utf_32
utf-32-be: utf-32be
windows-1252: iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 iso-ir-100 csisolatin1 latin1 latin-1 l1 ascii
 us-ascii ansi_x3.4-1968 ibm819 cp819 cp1252 x-cp1252 windows1252
cp1250: windows-1250 x-cp1250
cp1251: windows-1251 x-cp1251
cp1253: windows-1253 x-cp1253
cp1254: windows-1254 x-cp1254 iso-8859-9 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 iso-ir-148 csisolatin5 latin5 l5
cp1255: windows-1255 x-cp1255
cp1256: windows-1256 x-cp1256
cp1257: windows-1257 x-cp1257
cp1258: windows-1258 x-cp1258
cp874: windows-874 iso-8859-11 iso8859-11 iso885911 tis-620 dos-874
cp866: ibm866 866 csibm866
cp850: ibm850 850
cp437: ibm437 437
iso8859-2: iso-8859-2 iso88592 iso_8859-2 iso_8859-2:1987 iso-ir-101 csisolatin2 latin2 l2
iso8859-3: iso-8859-3 iso88593 iso_8859-3 iso_8859-3:1988 iso-ir-109 csisolatin3 latin3 l3
iso8859-4: iso-8859-4 iso88594 iso_8859-4 iso_8859-4:1988 iso-ir-110 csisolatin4 latin4 l4
iso8859-5: iso-8859-5 iso88595 iso_8859-5 iso_8859-5:1988 iso-ir-144 csisolatincyrillic cyrillic
iso8859-6: iso-8859-6 iso88596 iso_8859-6 iso_8859-6:1987 iso-8859-6-e iso-8859-6-i iso-ir-127 csisolatinarabic arabic
 ecma-114 asmo-708 csiso88596e csiso88596i
iso8859-7: iso-8859-7 iso88597 iso_8859-7 iso_8859-7:1987 iso-ir-126 csisolatingreek greek greek8 ecma-118 elot_928
 sun_eu_greek
iso8859-8: iso-8859-8 iso88598 iso_8859-8 iso_8859-8:1988 iso-8859-8-e iso-8859-8-i iso-ir-138 csisolatinhebrew hebrew
 visual logical csiso88598e csiso88598i
iso8859-10: iso-8859-10 iso885910 iso-ir-157 csisolatin6 latin6 l6
iso8859-13: iso-8859-13 iso885913
iso8859-14: iso-8859-14 iso885914
iso8859-15: iso-8859-15 iso885915 iso_8859-15 csisolatin9 latin9 latin-9 l9
iso8859-16: iso-8859-16 iso885916
koi8-r: koi koi8 koi8_r cskoi8r
koi8-u: koi8-ru
mac-roman: macintosh mac x-mac-roman csmacintosh
mac-cyrillic: x-mac-cyrillic x-mac-ukrainian
gb18030: gbk gb2312 gb_2312 gb_2312-80 chinese csgb2312 csiso58gb231280 iso-ir-58 x-gbk cp936
big5hkscs: big5 big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp: cseucpkdfmtjapanese x-euc-jp eucjp
iso2022-jp: iso-2022-jp csiso2022jp
cp932: shift_jis shift-jis sjis x-sjis ms_kanji ms932 csshiftjis windows-31j
cp949: euc-kr euckr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949
"""

_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED_INSIDE = re.compile(
    rb"""^\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})"""
    rb"""|<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})""",
    re.IGNORECASE,
)
_LOOKED_AT_BYTES = 1_024
"""As far as browsers look for a document's own declaration."""


class CharsetError(ValueError):
    """Bytes that are not text of the charset they say."""

    def __init__(self, charset: str, at: int) -> None:
        super().__init__(f"byte {at} is not of the charset {charset}")


def codec_of(label: str | None) -> str | None:
    """Our name of the charset with this label, whatever its case; ``None`` where there is no such charset."""
    return _known().get(label.strip().lower()) if label else None


def text_of(body: bytes, charset: str | None = None, *, is_markup: bool = False, is_strict: bool = False) -> str:
    """The bytes as text, without a byte order mark.

    The order: a byte order mark, ``charset`` where there is such a one, what XML or HTML declares in its beginning
    (``is_markup``), UTF-8, and windows-1252 where the bytes are no UTF-8. UTF-16 and UTF-32 without a mark are little
    endian unless the first character's zeros say otherwise.

    Raises:
        CharsetError: a mark or a charset was given and the bytes are not of it; only with ``is_strict``. Otherwise
            such bytes become U+FFFD.
    """
    for mark, marked in _MARKS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], marked, is_strict=is_strict)
    codec = codec_of(charset)
    if codec is None and is_markup:
        codec = _declared_inside(body)
    if codec is not None:
        return _decoded(body, _with_order(codec, body), is_strict=is_strict)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return _decoded(body, FALLBACK, is_strict=False)


def json_text(body: bytes, charset: str | None) -> str:
    """The text of a JSON document. UTF-8 where it is that (RFC 8259, 8.1), else UTF-16 or UTF-32 by its zeros, else by
    ``charset``.

    Raises:
        CharsetError: the bytes are none of these.
    """
    if not body.startswith(tuple(mark for mark, _ in _MARKS)):
        wide = _by_zeros(body[:4])
        if wide is not None:
            return _decoded(body, wide, is_strict=True)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            if codec_of(charset) in (None, UTF_8):
                raise CharsetError(UTF_8, error.start) from error
    return text_of(body, charset, is_strict=True)


def _decoded(body: bytes, codec: str, *, is_strict: bool) -> str:
    if codec == FALLBACK:
        return codecs.charmap_decode(body, "strict", _windows_1252())[0]
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        if is_strict:
            raise CharsetError(codec, error.start) from error
        return body.decode(codec, "replace")


def _with_order(codec: str, body: bytes) -> str:
    """The codec with the byte order that the first character shows."""
    if codec == "utf-16-le" and body[:1] == b"\0" and body[1:2] not in (b"", b"\0"):
        return "utf-16-be"
    return "utf-32-be" if codec == "utf-32-le" and body[:3] == b"\0\0\0" else codec


def _by_zeros(start: bytes) -> str | None:
    """The wide encoding of a JSON document: its first character is ASCII (RFC 4627, 3)."""
    zeros = [not byte for byte in start]
    if zeros == [True, True, True, False]:
        return "utf-32-be"
    if zeros == [False, True, True, True]:
        return "utf-32-le"
    if zeros[:2] == [True, False]:
        return "utf-16-be"
    return "utf-16-le" if zeros[:2] == [False, True] else None


def _declared_inside(body: bytes) -> str | None:
    found = _DECLARED_INSIDE.search(body[:_LOOKED_AT_BYTES])
    codec = codec_of((found[1] or found[2]).decode("ascii")) if found is not None else None
    # What could be read as ASCII is not of a wide charset, whatever it says.
    return UTF_8 if codec is not None and codec.startswith(("utf-16", "utf-32")) else codec


@cache
def _known() -> dict[str, str]:
    known: dict[str, str] = {}
    for line in _LABELS.strip().replace("\n ", " ").splitlines():
        codec, _, labels = line.partition(":")
        known |= dict.fromkeys([codec, *labels.split()], codec)
    return known


@cache
def _windows_1252() -> str:
    """The charset's table; its five free places stand for themselves, as browsers have it."""
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))
