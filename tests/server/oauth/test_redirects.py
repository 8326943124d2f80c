"""Where a browser may be sent back to."""

from __future__ import annotations

import pytest

from server.oauth.redirects import is_same_redirect, origin_for_policy, redirect_problem


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback",
        "https://app.example/callback?from=jobsprint",
        "http://127.0.0.1:33418/",
        "http://localhost/callback",
        "http://[::1]:4000/callback",
        "cursor://anysphere.cursor-retrieval/oauth/callback",
        "com.example.app:/oauth",
    ],
)
def test_an_address_of_an_application_may_be_registered(uri: str) -> None:
    assert redirect_problem(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "/callback",
        "//app.example/callback",
        "https:///callback",
        "https://app.example;script-src:443/",
        "https://app.example,evil.example/",
        "https://app.example/callback#part",
        "https://*.example/callback",
        "https://app.example/*",
        "https://user@app.example/",
        "https://app.example\\@evil.example/",
        "https://app.example/ callback",
        "https://app.example/\ncallback",
        "https://app.example:port/",
        "https://ünïcode.example/",
        "HTTPS://app.example/",
        "http://app.example/callback",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://192.168.0.1/",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "cursor:",
        "https://app.example/" + "x" * 2_000,
    ],
)
def test_any_other_address_may_not(uri: str) -> None:
    assert redirect_problem(uri) is not None


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("https://app.example/callback", "https://app.example/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback"),
        ("http://127.0.0.1:4000/callback", "http://127.0.0.1:51004/callback"),
        ("http://localhost:4000/callback?a=b", "http://localhost/callback?a=b"),
        ("http://[::1]/callback", "http://[::1]:9/callback"),
    ],
)
def test_an_address_is_the_registered_one_whatever_port_this_machine_gives(registered: str, asked: str) -> None:
    assert is_same_redirect(registered, asked)


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("https://app.example/callback", "https://app.example/callback/"),
        ("https://app.example/callback", "https://app.example/callback?x"),
        ("https://app.example/callback", "https://app.example:8443/callback"),
        ("https://app.example/callback", "https://APP.example/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1/other"),
        ("http://127.0.0.1/callback", "http://localhost/callback"),
        ("http://127.0.0.1/callback", "https://127.0.0.1/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:4000/callback#part"),
        ("http://127.0.0.1/callback", "http://user@127.0.0.1/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:4000/callback?x"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:port/callback"),
        ("cursor://host/callback", "cursor://host/other"),
    ],
)
def test_an_address_that_differs_otherwise_is_another(registered: str, asked: str) -> None:
    assert not is_same_redirect(registered, asked)


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://app.example:8443/callback", "https://app.example:8443"),
        ("http://127.0.0.1:4000/callback", "http://127.0.0.1:4000"),
        ("http://[::1]:4000/callback", "http:"),
        ("cursor://host/callback", "cursor:"),
    ],
)
def test_a_page_may_send_its_form_where_the_answer_goes(uri: str, source: str) -> None:
    assert origin_for_policy(uri) == source
