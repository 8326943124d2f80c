"""Parameters of headers, repeated headers, and Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from workflow.http.headers import joined, retry_after_seconds, shown, transport_headers, with_parameters

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "text/plain;charset=ISO-8859-1",
        "Text/Plain; Charset=ISO-8859-1",
        "text/plain ;  CHARSET = ISO-8859-1 ; charset=utf-8",
        'text/plain; charset="ISO-8859-1"',
        "text/plain; charset='ISO-8859-1'",
        'text/plain; x="a;charset=utf-8"; charset=ISO-8859-1',
        "text/plain;;charset=ISO-8859-1;",
    ],
)
def test_parameters_are_found_however_they_are_written(value: str) -> None:
    media_type, parameters = with_parameters(value)
    assert (media_type, parameters["charset"]) == ("text/plain", "ISO-8859-1")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (r'form-data; filename="a\"b.txt"', 'a"b.txt'),
        (r'form-data; filename="C:\temp\x.png"', r"C:\temp\x.png"),
        ('form-data; filename="a;b.txt"', "a;b.txt"),
        ("form-data; filename=plain.txt", "plain.txt"),
        ('form-data; filename="never ended', "never ended"),
    ],
)
def test_quoted_values_are_taken_out_of_their_quotes(value: str, name: str) -> None:
    assert with_parameters(value)[1]["filename"] == name


@pytest.mark.parametrize("value", ["", ";", "=", ";=", "; =x", "charset=utf-8", "text/plain; charset"])
def test_what_has_no_parameters_has_none(value: str) -> None:
    assert "charset" not in with_parameters(value)[1]


def test_repeated_headers_are_joined_and_cookies_stay_apart() -> None:
    fields = [
        ("X-A", "1"),
        ("Set-Cookie", "a=1; Expires=Wed, 01 Jan 2030 00:00:00 GMT"),
        ("x-a", "2, 3"),
        ("set-cookie", "b=2"),
    ]
    made = joined(fields)
    assert made["x-a"] == "1, 2, 3"
    assert shown(made)["set-cookie"] == ["a=1; Expires=Wed, 01 Jan 2030 00:00:00 GMT", "b=2"]
    assert shown({"x-a": "1"}) == {"x-a": "1"}
    assert shown({"set-cookie": "one=1"})["set-cookie"] == ["one=1"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("4", 4.0),
        ("4.0", 4.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("Mon, 30 Nov 2026 12:00:07 GMT", 7.0),
        ("Monday, 30-Nov-26 12:00:07 GMT", 7.0),
        ("Mon Nov 30 12:00:07 2026", 7.0),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("+3", None),
        ("-3.5", None),
        ("2027-01-01", None),
        ("soon", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("²", None),
        ("٣", None),
        ("", None),
        ("Mon, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, now=NOW) == seconds


def test_a_date_is_held_against_the_senders_own_clock() -> None:
    headers = {"retry-after": "Mon, 30 Nov 2026 15:00:10 GMT", "date": "Mon, 30 Nov 2026 15:00:00 GMT"}
    assert retry_after_seconds(headers, now=NOW) == 10.0
    assert retry_after_seconds({}, now=NOW) is None


def test_headers_of_the_transport_are_found_in_any_case() -> None:
    names = ["Host", "x-host", "CONTENT-LENGTH", " transfer-encoding", "Connection", "content-type", "TE", "keep-alive"]
    assert transport_headers(names) == [
        "Host",
        "CONTENT-LENGTH",
        " transfer-encoding",
        "Connection",
        "TE",
        "keep-alive",
    ]
