"""Credentials: what their forms take, what they show, and where they may be sent."""

from __future__ import annotations

from typing import Any

import pytest

from engine.nodes.registry import NodeRegistry
from workflow.credential_forms import FORMS, CredentialForm, form_of, may_go_to
from workflow.definitions.checks import check_definition
from workflow.definitions.credential_checks import credential_findings, named_credentials
from workflow.schemas.model_findings import model_findings

HOSTS = ["api.example.com"]
SECRET = "s3cr3t-and-long-enough"
GOOD: dict[str, dict[str, Any]] = {
    "header": {"header": "X-Api-Key", "value": SECRET, "allowed_hosts": HOSTS},
    "basic": {"username": "ada", "password": SECRET, "allowed_hosts": HOSTS},
    "bearer": {"token": SECRET, "allowed_hosts": HOSTS},
    "oauth2": {
        "token_url": "https://login.example.com/token",
        "client_id": "us",
        "client_secret": SECRET,
        "allowed_hosts": HOSTS,
    },
    "grant": {
        "issuer": "https://login.example.com",
        "token_url": "https://login.example.com/token",
        "client_id": "us",
        "access_token": SECRET,
        "allowed_hosts": HOSTS,
    },
    "address": {"url": f"https://hooks.example.com/{SECRET}"},
    "signature": {"secret": SECRET},
    "database": {"url": f"postgresql://ada:{SECRET}@db.example.com:5432/leads"},
}


def made(kind: str, **changes: Any) -> CredentialForm:
    """A form of the kind."""
    return FORMS[kind].model_validate({"kind": kind, **GOOD[kind], **changes})


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_survives_being_taken_apart_and_shows_no_secret(kind: str) -> None:
    form = made(kind)
    assert form_of(kind, form.details(), form.secrets()) == form
    assert SECRET not in repr(form)
    assert SECRET not in str(form.details())
    assert SECRET in str(form.secrets())
    assert SECRET in "".join(form.never_shown())


def test_a_pasted_line_break_does_not_count() -> None:
    assert made("bearer", token=f" {SECRET}\n").secrets() == {"token": SECRET}


def test_a_key_can_be_the_user_of_basic_and_a_common_user_is_not_hidden() -> None:
    assert made("basic", username=SECRET, password="").never_shown() == [SECRET]
    assert made("basic", username="admin").never_shown() == [SECRET]


def test_a_header_with_a_word_before_its_key_hides_the_key_alone_too() -> None:
    assert made("header", value=f"Token {SECRET}").never_shown() == [f"Token {SECRET}", SECRET]


@pytest.mark.parametrize(
    ("kind", "changes", "at"),
    [
        ("header", {"value": f"{SECRET}\r\nX-Other: 1"}, "/value"),
        ("header", {"value": "abc"}, "/value"),
        ("header", {"header": "Host"}, "/header"),
        ("header", {"header": "a b"}, "/header"),
        ("header", {"allowed_hosts": []}, "/allowed_hosts"),
        ("header", {"allowed_hosts": ["*"]}, "/allowed_hosts/0"),
        ("header", {"allowed_hosts": ["*.com"]}, "/allowed_hosts/0"),
        ("header", {"allowed_hosts": ["https://api.example.com"]}, "/allowed_hosts/0"),
        ("header", {"allowed_hosts": ["api.example.com/v1"]}, "/allowed_hosts/0"),
        ("header", {"allowed_hosts": ["a.*.example.com"]}, "/allowed_hosts/0"),
        ("header", {"allowed_hosts": ["bücher.example"]}, "/allowed_hosts/0"),
        ("basic", {"username": f"a:{SECRET}"}, ""),
        ("basic", {"username": "ada", "password": ""}, ""),
        ("bearer", {"token": f"{SECRET}é"}, "/token"),
        ("bearer", {"token": {"nested": SECRET}}, "/token"),
        ("bearer", {"tokens": SECRET}, "/tokens"),
        ("oauth2", {"token_url": "http://login.example.com/token"}, "/token_url"),
        ("oauth2", {"token_url": "https://ada:pw@login.example.com/"}, "/token_url"),
        ("oauth2", {"client_secret": None}, ""),
        ("oauth2", {"grant": "refresh_token"}, ""),
        ("oauth2", {"refresh_token": SECRET}, ""),
        ("database", {"url": f"https://ada:{SECRET}@example.com"}, ""),
        ("database", {"url": f"postgresql://ada:{SECRET}@host:port/x"}, ""),
        ("database", {"url": "postgresql://"}, ""),
    ],
)
def test_what_does_not_fit_is_refused_without_repeating_it(kind: str, changes: dict[str, Any], at: str) -> None:
    document = {"kind": kind, **GOOD[kind], **changes}
    findings = model_findings(FORMS[kind], document)
    assert at in {finding.pointer for finding in findings}
    assert SECRET not in str(findings)


@pytest.mark.parametrize(
    ("pattern", "scheme", "host", "port", "may"),
    [
        ("api.example.com", "https", "api.example.com", None, True),
        ("api.example.com", "https", "api.example.com", 8443, False),
        ("api.example.com:8443", "https", "api.example.com", 8443, True),
        ("api.example.com:8443", "https", "api.example.com", None, False),
        ("api.example.com", "http", "api.example.com", None, False),
        ("api.example.com", "https", "example.com", None, False),
        ("api.example.com", "https", "api.example.com.evil.net", None, False),
        ("api.example.com", "https", "evilapi.example.com", None, False),
        ("api.example.com", "https", "api.example.com.", None, False),
        ("*.example.com", "https", "api.example.com", None, True),
        ("*.example.com", "https", "a.b.example.com", None, True),
        ("*.example.com", "https", "example.com", None, False),
        ("*.example.com", "https", ".example.com", None, False),
        ("*.example.com", "https", "evilexample.com", None, False),
        ("127.0.0.1", "http", "127.0.0.1", 8000, True),
        ("127.0.0.1:8001", "http", "127.0.0.1", 8000, False),
        ("localhost", "http", "localhost", None, True),
        ("localhost", "http", "127.0.0.1", None, False),
        ("[::1]", "http", "::1", 8000, True),
        ("[::1]:80", "http", "::1", None, True),
        ("10.0.0.1", "http", "10.0.0.1", None, False),
        ("10.0.0.1", "https", "10.0.0.1", None, True),
        ("localhost", "ftp", "localhost", None, False),
    ],
)
def test_a_credential_goes_only_where_it_belongs(
    pattern: str, scheme: str, host: str, port: int | None, may: bool
) -> None:
    assert made("bearer", allowed_hosts=[pattern]).hosts() == (pattern,)
    assert may_go_to([pattern], scheme=scheme, host=host, port=port) is may


def naming(*credentials: Any) -> dict[str, Any]:
    """A definition whose requests name these credentials."""
    nodes: dict[str, Any] = {"start": {"type": "manual"}}
    for number, credential in enumerate(credentials):
        parameters = {"url": "https://api.example.com", "credential": credential}
        nodes[f"call {number}"] = {"type": "http_request", "parameters": parameters}
    return {"name": "calls", "nodes": nodes}


def test_only_credentials_that_are_not_there_are_warned_of(registry: NodeRegistry) -> None:
    named = named_credentials(naming("crm", "cmr", "other"), registry)
    assert list(named.values()) == ["crm", "cmr", "other"]
    found = credential_findings(named, ["crm", "billing"])
    assert [(each.code, each.severity, each.pointer) for each in found] == [
        ("unknown_credential", "warning", "/nodes/call 1/parameters/credential"),
        ("unknown_credential", "warning", "/nodes/call 2/parameters/credential"),
    ]
    assert "Did you mean 'crm'?" in found[0].message
    assert found[0].patch[0].value == "crm"
    assert "connect_integration with do: secret" in (found[1].fix or "")


@pytest.mark.parametrize("document", [None, [], {"nodes": []}, {"nodes": {"a": 1}}, {"nodes": {"a": {"type": 3}}}])
def test_a_document_of_another_shape_names_none(registry: NodeRegistry, document: Any) -> None:
    assert named_credentials(document, registry) == {}


def test_an_expression_cannot_choose_a_credential(registry: NodeRegistry) -> None:
    report = check_definition(naming("={{ $json.which }}"), registry)
    assert [(each.code, each.pointer) for each in report.findings if each.severity == "error"] == [
        ("bad_parameter", "/nodes/call 0/parameters/credential")
    ]


def test_a_secret_that_is_typed_in_is_warned_of_and_the_vault_named(registry: NodeRegistry) -> None:
    document = naming("crm")
    document["nodes"]["call 0"]["parameters"]["headers"] = {"Authorization": "Bearer abc123456789"}
    (found,) = [each for each in check_definition(document, registry).findings if each.code == "secret_in_parameters"]
    assert found.severity == "warning"
    assert "connect_integration with do: secret" in (found.fix or "")
