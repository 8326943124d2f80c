"""Credentials that a definition names and its workspace does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow.findings import Finding, PatchOperation, did_you_mean, nearest, pointer

if TYPE_CHECKING:
    from workflow.definitions.catalogue import NodeCatalogue


def named_credentials(document: Any, catalogue: NodeCatalogue) -> Mapping[str, str]:
    """The credential that each node names, by the nodes' names; ``document`` may have other mistakes."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    named: dict[str, str] = {}
    for name, node in (nodes if isinstance(nodes, dict) else {}).items():
        parameters = node.get("parameters") if isinstance(node, dict) else None
        kind = node.get("type") if isinstance(node, dict) else None
        spec = catalogue.get(kind) if isinstance(kind, str) else None
        credential = spec.credential_of(parameters) if spec is not None and isinstance(parameters, dict) else None
        if credential is not None:
            named[name] = credential
    return named


def credential_findings(named: Mapping[str, str], known: Sequence[str]) -> list[Finding]:
    """A warning for each that is not among the ``known``: it may still be made before the workflow runs."""
    found = []
    for node, credential in named.items():
        if credential in known:
            continue
        at, near = pointer("nodes", node, "parameters", "credential"), nearest(credential, known)
        found.append(
            Finding(
                code="unknown_credential",
                severity="warning",
                pointer=at,
                message=f"The workspace has no credential {credential!r:.100}.{did_you_mean(near)}",
                patch=(PatchOperation(op="replace", path=at, value=near),) if near is not None else (),
                fix=None
                if near is not None
                else f"Have it made before this runs: connect_integration with do: secret and name: {credential:.100} "
                "gives a link where a person enters it; it must not go through a model.",
            )
        )
    return found
