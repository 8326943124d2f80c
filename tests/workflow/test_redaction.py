"""Secrets are hidden by their names and forms, and nothing else is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.redaction import HIDDEN, ShownLink, may_hold_secrets, redacted, redacted_address, redacted_text, restored
from workflow.secret_forms import SMALL_CHARACTERS

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": "anything at all"}},
        {"headers": {"set-cookie": "session=1"}},
        {"deep": [{"list": [{"x-api-key": "k"}]}]},
        {"password": "hunter2"},
        {"client_secret": "s"},
        {"accessToken": "t"},
        {"cookie": ["a=1", "b=2"]},
        {"headers": [{"name": "Authorization", "value": "anything"}]},
        {"query": [["n", "1"], ["token", "anything"]]},
    ],
)
def test_what_stands_under_a_secrets_name_is_hidden(value: Any) -> None:
    shown = orjson.dumps(redacted(value)).decode()
    assert HIDDEN in shown
    assert not any(secret in shown for secret in ("anything", "session=", '"k"', "hunter2", '"s"', '"t"', "a=1"))
    assert may_hold_secrets(orjson.dumps(value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sent Bearer abcdef0123456789 to it", f"sent Bearer {HIDDEN} to it"),
        ("Basic dXNlcjpwYXNz1234", f"Basic {HIDDEN}"),
        ("GET https://user:pa55@host/x", f"GET https://user:{HIDDEN}@host/x"),
        ("https://host/x?token=abc&n=1", f"https://host/x?token={HIDDEN}&n=1"),
        ("https://host/x?n=1&api_key=abc", f"https://host/x?n=1&api_key={HIDDEN}"),
        (f"got {JWT}.", f"got {HIDDEN}."),
        ("ghp_0123456789abcdefghij", HIDDEN),
        ("jsr_0123456789abcdefghij", HIDDEN),
        ("jsl_0123456789abcdefghij", HIDDEN),
        ("https%3A%2F%2Fh%2F%3Fkey%3Dghp_0123456789abcdefghij", f"https%3A%2F%2Fh%2F%3Fkey%3D{HIDDEN}"),
        ("key AKIAABCDEFGHIJKLMNOP", f"key {HIDDEN}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", HIDDEN),
    ],
)
def test_what_has_the_form_of_a_secret_is_hidden_inside_text(text: str, shown: str) -> None:
    assert redacted_text(text) == shown
    assert redacted({"note": [text]}) == {"note": [shown]}
    assert may_hold_secrets(orjson.dumps({"note": text}))


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 100, "tokens": 3, "next_cursor": "WyJ3Il0", "plan_hash": "0123456789abcdef0123456789abcdef"},
        {"note": "Basic understanding of bearer authentication, version 2"},
        {"url": "https://host/search?q=1&page=2", "mail": "ada@example.com"},
        {"headers": {"Authorization": "=Bearer {{ $json.key }}"}},
        {"signature": {"secret": "github"}},
        {"resume_url": ShownLink("https://host/resume/1?token=jsl_0123456789abcdefghij")},
        {"connections": [["token", "password"]], "fields": [{"name": "colour", "value": "red"}]},
        {"token": 7, "password": None, "secret": ""},
    ],
)
def test_what_is_no_secret_stays_the_same_object(value: Any) -> None:
    assert redacted(value) is value


def test_a_definition_that_was_read_and_is_sent_back_keeps_its_secrets() -> None:
    stored = {
        "nodes": {"ask": {"parameters": {"url": "https://h/?token=t1", "headers": {"Authorization": "Bearer b1"}}}}
    }
    read = redacted(stored)
    read["nodes"]["ask"]["parameters"]["method"] = "POST"
    back = restored(read, stored)
    assert back["nodes"]["ask"]["parameters"] == {**stored["nodes"]["ask"]["parameters"], "method": "POST"}


def test_a_hidden_value_somewhere_else_stays_hidden() -> None:
    assert restored({"password": HIDDEN, "list": [HIDDEN]}, {"list": ["shown"]}) == {
        "password": HIDDEN,
        "list": [HIDDEN],
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example.com/leads?token=abc#top", "https://api.example.com/leads"),
        ("https://ada:secret@api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("https://ada@api.example.com", "https://api.example.com"),
        (f"https://hooks.example/services/T012AB/{'aB3' * 8}", f"https://hooks.example/services/T012AB/{HIDDEN}"),
        (f"https://api.example/bot123456:{'xY9' * 10}/send", f"https://api.example/{HIDDEN}/send"),
        (
            "https://api.example/v1/0198c0de-0000-7000-8000-000000000000/1234567890123456789012",
            "https://api.example/v1/0198c0de-0000-7000-8000-000000000000/1234567890123456789012",
        ),
        (
            "https://example.com/a-rather-long-name-without-digits",
            "https://example.com/a-rather-long-name-without-digits",
        ),
        ("not an address", "not an address"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_user_query_and_what_looks_drawn_at_random(url: str, shown: str) -> None:
    assert redacted_address(url) == shown


_PIECES = (
    *("bearer ", "Basic\t", "abcdef0123456789", "://", "user:", "pa55", "@", "host/", "?", "&", "token=", "api_key="),
    *("client_secret=", "auth_client_secret=", "KEY=", "%3D", "eyJ", "abcdefghijk.", "ghp_", "Sk-", "xoxb-", "AKIA"),
    *("ABCDEFGHIJKLMNOP", " ", "-----BEGIN RSA PRIVATE KEY-----", "-----begin ", "-----END PRIVATE KEY-----", "\n"),
    *("-----END ", "\u0130", "\u00e9", "=", "jsl_", "sk_live_", "glpat-", "github_pat_", "signature=", "a", "B"),
)


@given(st.lists(st.sampled_from(_PIECES), max_size=14))
def test_large_texts_lose_the_same_secrets_as_small_ones(pieces: list[str]) -> None:
    text, rest = "".join(pieces), " ".join(["."] * SMALL_CHARACTERS)
    assert redacted_text(f"{rest} {text}") == f"{rest} {redacted_text(f'. {text}')[2:]}"


def test_a_large_text_of_what_secrets_begin_with_is_read_to_its_end() -> None:
    for beginning in ("key=", "?", "-----BEGIN ", "://", "bearer ", "eyj", "@", "sk-", "_"):
        text = beginning * 100_000
        assert redacted_text(f"{text} jsl_0123456789abcdefghij").endswith(f" {HIDDEN}")
