"""Definitions in forms that other tools taught: lists of nodes, n8n's connections, JSON as text.

What such a form means is evident, so each finding has the patch that puts it into the native form; n8n's own
workflows get one finding for the whole, since their node types differ too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from workflow.findings import Finding, PatchOperation, pointer

if TYPE_CHECKING:
    from workflow.definitions.catalogue import NodeCatalogue

_ARROW = re.compile(r"\s*(?:->|=>|→)\s*")
_SOURCES = ("from", "source")
_TARGETS = ("to", "target")
_OUTPUTS = ("output", "sourceOutput", "source_output", "sourceHandle", "branch")
_INPUTS = ("input", "targetInput", "target_input", "targetHandle")


def n8n_finding(document: Any) -> Finding | None:
    """The one finding on a workflow that n8n made; ``None`` where it is something else."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, list) or not nodes:
        return None
    if not all(isinstance(node, dict) and isinstance(node.get("type"), str) for node in nodes):
        return None
    if not any("typeVersion" in node or _is_n8n_type(node["type"]) for node in nodes):
        return None
    return Finding(
        code="n8n_definition",
        pointer="",
        message="This is a workflow of n8n; its nodes have other types and parameters than nodes here.",
        fix='Write it in the native form: nodes as an object by name, connections as [["from", "to"]] pairs; '
        "find_nodes gives the types and their parameters.",
    )


def native_form(document: Any, catalogue: NodeCatalogue) -> tuple[Any, list[Finding]]:
    """``document`` with every foreign form in it put right, and a finding with the patch for each."""
    if not isinstance(document, dict):
        return document, []
    translation = _Translation(dict(document), catalogue)
    translation.run()
    return translation.document, translation.findings


def _is_n8n_type(name: str) -> bool:
    return name.startswith(("n8n-nodes-", "@n8n/", "nodes-base."))


class _Translation:
    """Changes a document whose top level is its own to change."""

    def __init__(self, document: dict[str, Any], catalogue: NodeCatalogue) -> None:
        self.document = document
        self.findings: list[Finding] = []
        self._catalogue = catalogue

    def run(self) -> None:
        for name, opening in (("nodes", "{["), ("connections", "{["), ("settings", "{")):
            self._read_text(self.document, (name,), name, opening)
        self._nodes()
        nodes = self.document.get("nodes")
        if isinstance(nodes, dict):
            self.document["nodes"] = nodes = dict(nodes)
            for name in nodes:
                self._node(nodes, name)
        connections = self.document.get("connections")
        if isinstance(connections, dict):
            self._n8n_connections(connections)
        elif isinstance(connections, list):
            self.document["connections"] = [self._pair(*each) for each in enumerate(connections)]

    def _found(self, path: tuple[str | int, ...], message: str, value: Any, fix: str) -> None:
        patch = (PatchOperation(op="replace", path=pointer(*path), value=value),)
        self.findings.append(Finding(code="wrong_form", pointer=pointer(*path), message=message, patch=patch, fix=fix))

    def _read_text(self, owner: dict[str, Any], path: tuple[str | int, ...], name: str, opening: str) -> None:
        text = owner.get(name)
        if not isinstance(text, str) or not text.strip().startswith(tuple(opening)):
            return
        try:
            value = json.loads(text)
        except ValueError:
            return
        owner[name] = value
        what = "an object" if isinstance(value, dict) else "a list"
        self._found(path, f"{name!r} holds JSON as text where {what} is needed.", value, f"Send {what}, not text.")

    def _nodes(self) -> None:
        nodes = self.document.get("nodes")
        if not isinstance(nodes, list):
            return
        names = [node.get("name") if isinstance(node, dict) else None for node in nodes]
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            return
        extra = {"id", "name", "position"}
        named = {
            node["name"]: {key: value for key, value in node.items() if key not in extra or not isinstance(key, str)}
            for node in nodes
        }
        self.document["nodes"] = named
        message = "'nodes' is a list; it must be an object of nodes by name."
        self._found(("nodes",), message, named, 'Send {"<name>": {"type": …, "parameters": …}, …}.')

    def _node(self, nodes: dict[str, Any], name: str) -> None:
        self._read_text(nodes, ("nodes", name), name, "{")
        node = nodes[name]
        if isinstance(node, dict):
            nodes[name] = node = dict(node)
            self._read_text(node, ("nodes", name, "parameters"), "parameters", "{")

    def _n8n_connections(self, connections: dict[str, Any]) -> None:
        pairs: list[list[str]] = []
        for source, by_kind in connections.items():
            outputs = self._outputs(source)
            lists = by_kind.get("main") if isinstance(by_kind, dict) else None
            for index, targets in enumerate(lists if isinstance(lists, list) else []):
                for target in targets if isinstance(targets, list) else []:
                    if isinstance(target, dict) and isinstance(target.get("node"), str):
                        output = outputs[index] if len(outputs) > 1 and index < len(outputs) else None
                        pairs.append([_end(source, output), target["node"]])
        self.document["connections"] = pairs
        message = "'connections' is an object, as in n8n; it must be a list of [from, to] pairs."
        self._found(("connections",), message, pairs, 'Send [["<from>", "<to>"], ["<if node>.false", "<to>"], …].')

    def _outputs(self, name: str) -> list[str]:
        nodes = self.document.get("nodes")
        node = nodes.get(name) if isinstance(nodes, dict) else None
        kind = node.get("type") if isinstance(node, dict) else None
        spec = self._catalogue.get(kind) if isinstance(kind, str) else None
        parameters = node.get("parameters") if isinstance(node, dict) else None
        return list(spec.outputs_of(parameters if isinstance(parameters, dict) else {})) if spec is not None else []

    def _pair(self, index: int, connection: Any) -> Any:
        pair: list[str] | None = None
        if isinstance(connection, str) and len(parts := _ARROW.split(connection.strip())) == 2:
            pair = parts
        elif isinstance(connection, dict):
            source, target = _first(connection, _SOURCES), _first(connection, _TARGETS)
            if source is not None and target is not None:
                pair = [_end(source, _first(connection, _OUTPUTS)), _end(target, _first(connection, _INPUTS))]
        if pair is None:
            return connection
        message = "A connection is a pair of texts."
        self._found(("connections", index), message, pair, f"Send {json.dumps(pair, ensure_ascii=False)}.")
        return pair


def _first(members: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((members[name] for name in names if isinstance(members.get(name), str)), None)


def _end(node: str, port: str | None) -> str:
    return node if port is None or port == "main" else f"{node}.{port}"
