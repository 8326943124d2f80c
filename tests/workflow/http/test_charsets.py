"""Which charset bytes are read in: a mark, the header, the document itself, or a default."""

from __future__ import annotations

import codecs

import pytest

from workflow.http.charsets import CharsetError, codec_of, json_text, text_of

WORD = "Zoë €"


@pytest.mark.parametrize("label", ["iso-8859-1", "ISO-8859-1", " latin1 ", "us-ascii", "windows-1252", "l1"])
def test_labels_are_known_in_any_case(label: str) -> None:
    assert text_of(b"Zo\xeb \x80", label) == WORD


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("iso-8859-15", "€uro"),
        ("shift_jis", "日本"),
        ("gbk", "中文"),
        ("euc-kr", "서울"),
        ("koi8-r", "привет"),
        ("big5", "中文"),
        ("utf-8-sig", WORD),
        ("windows-1251", "привет"),
    ],
)
def test_text_of_a_charset_is_read_in_it(label: str, text: str) -> None:
    codec = codec_of(label)
    assert codec is not None
    assert text_of(text.encode(codec), label, is_strict=True) == text


@pytest.mark.parametrize(
    "label",
    [
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "base64",
        "rot13",
        "hex",
        "zlib",
        "utf-7",
        "mbcs",
        "x-user-defined",
        "x",
        "",
        "a\0b",
        "../os",
        "é",
        "x" * 10_000,
    ],
)
def test_what_is_no_charset_counts_as_none(label: str) -> None:
    assert codec_of(label) is None
    assert text_of("Zoë".encode(), label, is_strict=True) == "Zoë"


def test_every_label_has_a_codec_that_python_knows() -> None:
    from workflow.http.charsets import FALLBACK, _known

    for codec in set(_known().values()) - {FALLBACK}:
        assert codecs.lookup(codec)._is_text_encoding


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_counts_before_the_header(mark: bytes, codec: str) -> None:
    assert text_of(mark + WORD.encode(codec), "iso-8859-1", is_strict=True) == WORD
    assert json_text(mark + b'"x"'.decode().encode(codec), None) == '"x"'


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_wide_charset_without_a_mark_shows_its_order_by_its_zeros(codec: str) -> None:
    assert text_of(WORD.encode(codec), codec.rpartition("-")[0], is_strict=True) == WORD
    assert json_text('{"a":"ë"}'.encode(codec), None) == '{"a":"ë"}'


def test_bytes_that_are_no_utf_8_and_say_nothing_are_windows_1252() -> None:
    everything = bytes(range(256))
    text = text_of(everything)
    assert (text[0xEB], text[0x80], text[0x81], len(text)) == ("ë", "€", "\x81", 256)


@pytest.mark.parametrize(
    "document",
    [
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xeb</a>',
        b"<?xml version='1.0' encoding='windows-1252'?><a>\xeb</a>",
        b'<html><head><meta charset="iso-8859-1"></head>\xeb',
        b'<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">\xeb',
    ],
)
def test_markup_can_declare_its_charset(document: bytes) -> None:
    assert "ë" in text_of(document, is_markup=True)


def test_markup_that_says_it_is_wide_and_can_be_read_is_not() -> None:
    assert text_of('<meta charset="utf-16">ë'.encode(), is_markup=True) == '<meta charset="utf-16">ë'


def test_bytes_of_another_charset_are_an_error_where_that_is_asked_for() -> None:
    with pytest.raises(CharsetError, match="byte 2 is not of the charset utf-8"):
        text_of(b"Zo\xeb", "utf-8", is_strict=True)
    assert text_of(b"Zo\xeb", "utf-8") == "Zo\ufffd"


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b'"Zo\xeb"', "iso-8859-1", '"Zoë"'),
        ('"Zoë"'.encode(), "iso-8859-1", '"Zoë"'),  # RFC 8259: a charset means nothing where it is UTF-8
        ('"Zoë"'.encode(), "idna", '"Zoë"'),
        ('"ë"'.encode("utf-16"), "utf-16", '"ë"'),
        (b'"\xa4"', "ISO-8859-15", '"€"'),
    ],
)
def test_json_is_utf_8_where_it_can_be(body: bytes, charset: str, text: str) -> None:
    assert json_text(body, charset) == text


def test_json_that_is_of_no_charset_is_an_error() -> None:
    with pytest.raises(CharsetError):
        json_text(b'"Zo\xeb"', None)
