"""Everything that can be wrong with a definition, found in one pass and reported at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow.definitions import graph
from workflow.definitions.definition import ERROR_OUTPUT, NodeDefinition, WorkflowDefinition
from workflow.definitions.doubtful_values import value_findings
from workflow.definitions.foreign_forms import n8n_finding, native_form
from workflow.definitions.graph_checks import graph_findings
from workflow.findings import MOST_FINDINGS, Finding, PatchOperation, did_you_mean, listed, nearest, pointer
from workflow.schedules.schedules import ScheduleTrigger
from workflow.schemas.model_findings import model_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow.definitions.catalogue import NodeCatalogue, NodeSpec
    from workflow.ports import NewId


@dataclass(slots=True, frozen=True)
class Report:
    """What a check found. ``definition`` is there exactly where no finding is an error; ``document`` is what was
    checked: what was sent, in the native form."""

    definition: WorkflowDefinition | None
    findings: tuple[Finding, ...]
    document: Any

    @property
    def is_valid(self) -> bool:
        """Whether the definition can be saved; warnings do not stand in the way."""
        return self.definition is not None


def check_definition(document: Any, catalogue: NodeCatalogue) -> Report:
    """Check a definition as it was sent: its shape, its nodes, its connections and the graph they draw.

    Parts whose shape is wrong are reported and left out of the rest, so that one mistake does not hide
    another; parts in a foreign form are checked in the form that their patch gives them. Patches may be applied
    one after the other in the order of the findings: those that remove something from a list come last, from its end.
    """
    foreign = n8n_finding(document)
    if foreign is not None:
        return Report(None, (foreign,), None)
    document, findings = native_form(document, catalogue)
    check = _Check(document if isinstance(document, dict) else {}, catalogue)
    findings += model_findings(WorkflowDefinition, document)
    findings += check.run()
    findings.sort(key=_patch_order)
    if any(finding.severity == "error" for finding in findings):
        return Report(None, tuple(findings), document)
    return Report(WorkflowDefinition.model_validate(document), tuple(findings), document)


def webhook_paths(definition: WorkflowDefinition, catalogue: NodeCatalogue) -> list[str]:
    """The paths that the definition's enabled webhook triggers listen on."""
    paths = []
    for node in definition.nodes.values():
        spec = catalogue.get(node.type)
        path = spec.webhook_path_of(node.parameters) if spec is not None and not node.disabled else None
        if path is not None:
            paths.append(path)
    return paths


def schedule_triggers(definition: WorkflowDefinition, catalogue: NodeCatalogue, new_id: NewId) -> list[ScheduleTrigger]:
    """The schedules that the definition's enabled schedule triggers want."""
    triggers = []
    for name, node in definition.nodes.items():
        spec = catalogue.get(node.type)
        if spec is not None and spec.is_scheduled and not node.disabled:
            zone = node.parameters.get("timezone") or definition.settings.timezone
            triggers.append(ScheduleTrigger(new_id=new_id(), node=name, parameters=node.parameters, timezone=zone))
    return triggers


def _patch_order(finding: Finding) -> tuple[int, int]:
    removed = [
        int(last)
        for operation in finding.patch
        if operation.op == "remove" and (last := operation.path.rpartition("/")[2]).isdecimal()
    ]
    return (1, -max(removed)) if removed else (0, 0)


@dataclass(slots=True)
class _Check:
    """The part of a check that looks at meaning; it reads only what has the right shape."""

    document: dict[str, Any]
    catalogue: NodeCatalogue
    findings: list[Finding] = field(default_factory=list)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    specs: dict[str, NodeSpec] = field(default_factory=dict)
    edges: dict[graph.Edge, None] = field(default_factory=dict)

    def run(self) -> list[Finding]:
        nodes = self.document.get("nodes")
        if isinstance(nodes, dict):
            self.nodes = {name: node for name, node in nodes.items() if isinstance(node, dict)}
            for name, node in self.nodes.items():
                if len(self.findings) < MOST_FINDINGS:
                    self._check_node(name, node)
            self._check_names()
            self._check_webhook_paths()
        connections = self.document.get("connections")
        if isinstance(connections, list):
            for index, connection in enumerate(connections):
                if len(self.findings) < MOST_FINDINGS:
                    self._check_connection(index, connection)
        if len(self.specs) == len(self.nodes) > 0:
            self.findings += graph_findings(
                self.nodes, self.specs, list(self.edges), connections, is_whole=not self._has_broken_connection()
            )
        return self.findings

    def _add(
        self,
        code: str,
        at: str,
        message: str,
        *,
        patch: Sequence[PatchOperation] = (),
        fix: str | None = None,
        warning: bool = False,
    ) -> None:
        """Note a problem. The patch says what to do; ``fix`` is for where there is none."""
        severity = "warning" if warning else "error"
        self.findings.append(
            Finding(
                code=code,
                pointer=at,
                message=message,
                severity=severity,
                patch=tuple(patch),
                fix=None if patch else fix,
            )
        )

    def _check_node(self, name: str, node: dict[str, Any]) -> None:
        node_type = node.get("type")
        if not isinstance(node_type, str):
            return
        spec = self.catalogue.get(node_type)
        if spec is None:
            at = pointer("nodes", name, "type")
            near = nearest(_plain_type(node_type), self.catalogue.names())
            self._add(
                "unknown_node_type",
                at,
                f"There is no node type {node_type!r:.200}.{did_you_mean(near)}",
                patch=[PatchOperation(op="replace", path=at, value=near)] if near else [],
                fix="Call find_nodes with words for what the node should do.",
            )
            return
        self.specs[name] = spec
        root = pointer("nodes", name, "parameters")
        for problem in spec.problems_of(_parameters(node)):
            name_there = str(problem.path[0]) if problem.path else ""
            if (
                problem.code == "unknown_parameter"
                and len(problem.path) == 1
                and name_there in NodeDefinition.model_fields
            ):
                self._add_misplaced(name, name_there)
                continue
            self._add(
                problem.code,
                root + pointer(*problem.path),
                problem.message,
                patch=_below(root, problem.patch) if "parameters" in node else (),
                fix=problem.fix or f"Call find_nodes with name {node_type!r} for its parameters and an example.",
            )
        self.findings += value_findings(name, _parameters(node))

    def _add_misplaced(self, name: str, member: str) -> None:
        at = pointer("nodes", name, "parameters", member)
        move = {"op": "move", "from": at, "path": pointer("nodes", name, member)}
        self._add(
            "unknown_parameter",
            at,
            f"{member!r} is a member of the node itself, beside parameters.",
            patch=[PatchOperation.model_validate(move)],
        )

    def _check_names(self) -> None:
        first_by_folded: dict[str, str] = {}
        for name in self.nodes:
            first = first_by_folded.setdefault(" ".join(name.casefold().split()), name)
            if first != name:
                self._add(
                    "duplicate_name",
                    pointer("nodes", name),
                    f"Node {name!r} has the same name as {first!r} but for case or blanks; "
                    "connections and expressions would be mistaken for one another.",
                    fix="Rename one of them, also where connections and expressions name it.",
                )

    def _check_webhook_paths(self) -> None:
        first_by_path: dict[str, str] = {}
        for name, spec in self.specs.items():
            path = spec.webhook_path_of(_parameters(self.nodes[name]))
            if path is None or self.nodes[name].get("disabled") is True:
                continue
            first = first_by_path.setdefault(path, name)
            if first != name:
                self._add(
                    "duplicate_webhook_path",
                    pointer("nodes", name, "parameters", "path"),
                    f"Triggers {first!r} and {name!r} listen on the same path {path!r}.",
                    fix="Give one of them another path.",
                )

    def _check_connection(self, index: int, connection: Any) -> None:
        if not (
            isinstance(connection, list | tuple)
            and len(connection) == 2
            and all(isinstance(end, str) for end in connection)
        ):
            return  # the shape check has said so
        source = self._resolve(index, 0, connection[0])
        target = self._resolve(index, 1, connection[1])
        if source is None or target is None:
            return
        edge = graph.Edge(source.node, source.port or "", target.node, target.port or "")
        at = pointer("connections", index)
        if edge in self.edges:
            self._add(
                "duplicate_connection",
                at,
                f"{connection[0]!r} is connected to {connection[1]!r} more than once; items would arrive twice.",
                patch=[PatchOperation(op="remove", path=at)],
            )
        else:
            self.edges[edge] = None

    def _resolve(self, index: int, side: int, text: str) -> graph.End | None:
        """The end with its default filled in, or ``None`` where it is wrong or its node's type is."""
        at = pointer("connections", index, side)
        end = graph.parse_end(text, self.nodes)
        if end is None:
            near = nearest(text, self.nodes) or nearest(text.rpartition(".")[0], self.nodes)
            value = near
            if near is not None and near in self.specs and "." in text:
                port = text.rpartition(".")[2]
                value = f"{near}.{port}" if port in self._ports(near, side) else near
            patch = [PatchOperation(op="replace", path=at, value=value)] if value else []
            self._add(
                "missing_node",
                at,
                f"There is no node {text!r:.200}.{did_you_mean(value)}",
                patch=patch,
                fix=f"The nodes are: {listed(self.nodes)}.",
            )
            return None
        if end.node not in self.specs:
            return None
        ports = self._ports(end.node, side)
        if side == 1 and not ports:
            self._add(
                "connection_into_trigger",
                at,
                f"{end.node!r} is a trigger; executions start there, nothing can be connected to it.",
                patch=[PatchOperation(op="remove", path=pointer("connections", index))],
            )
            return None
        if end.port is None:
            return graph.End(end.node, ports[0]) if ports else None
        if end.port not in ports:
            self._add_unknown_port(at, end, ports, side)
            return None
        return end

    def _add_unknown_port(self, at: str, end: graph.End, ports: Sequence[str], side: int) -> None:
        port = end.port or ""
        near = nearest(port, ports) or (ports[0] if len(ports) == 1 else None)
        if near is None and port.isdecimal() and int(port) < len(ports):
            near = ports[int(port)]
        has = f"it has {listed(ports)}"
        if port == ERROR_OUTPUT and not side:
            patch = PatchOperation(op="add", path=pointer("nodes", end.node, "on_error"), value="error_output")
            hint = 'Set the node\'s on_error to "error_output" to have this output.'
            message = f"Node {end.node!r} has no output {port!r}; {has}. {hint}"
            self._add("unknown_output", at, message, patch=[patch])
            return
        patches = [PatchOperation(op="replace", path=at, value=f"{end.node}.{near}")] if near else []
        fix = f"Name one of these: {listed(f'{end.node}.{each}' for each in ports)}."
        if side:
            message = f"Node {end.node!r} has no input {port!r}; {has}.{did_you_mean(near)}"
            self._add("unknown_input", at, message, patch=patches, fix=fix)
        else:
            message = f"Node {end.node!r} has no output {port!r}; {has}.{did_you_mean(near)}"
            self._add("unknown_output", at, message, patch=patches, fix=fix)

    def _ports(self, node: str, side: int) -> list[str]:
        spec, parameters = self.specs[node], _parameters(self.nodes[node])
        if side == 1:
            return list(spec.inputs_of(parameters))
        outputs = list(spec.outputs_of(parameters))
        if self.nodes[node].get("on_error") == "error_output" and ERROR_OUTPUT not in outputs:
            outputs.append(ERROR_OUTPUT)
        return outputs

    def _has_broken_connection(self) -> bool:
        """Whether a connection was left out of the graph: then a node may only *seem* unreachable."""
        broken = {"missing_node", "unknown_output", "unknown_input"}
        return len(self.findings) >= MOST_FINDINGS or any(finding.code in broken for finding in self.findings)


def _parameters(node: dict[str, Any]) -> dict[str, Any]:
    parameters = node.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _plain_type(name: str) -> str:
    """A type's name as it would be written here: without a package before it, in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rpartition(".")[2])


def _below(root: str, patch: Sequence[PatchOperation]) -> list[PatchOperation]:
    return [
        operation.model_copy(
            update={
                "path": root + operation.path,
                "from_": None if operation.from_ is None else root + operation.from_,
            }
        )
        for operation in patch
    ]
