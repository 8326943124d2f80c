"""Everything that can be wrong with a definition, found in one pass and reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow import graph
from workflow.definition import ERROR_OUTPUT, WorkflowDefinition
from workflow.findings import Finding, PatchOperation, did_you_mean, nearest, pointer
from workflow.shape import model_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow.catalogue import Catalogue, NodeSpec


@dataclass(slots=True, frozen=True)
class Report:
    """What a check found. ``definition`` is there exactly where no finding is an error."""

    definition: WorkflowDefinition | None
    findings: tuple[Finding, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the definition can be saved; warnings do not stand in the way."""
        return self.definition is not None


def check_definition(document: Any, catalogue: Catalogue) -> Report:
    """Check a definition as it was sent: its shape, its nodes, its connections and the graph they draw.

    Parts whose shape is wrong are reported and left out of the rest, so that one mistake does not hide
    another. Patches may be applied one after the other in the order of the findings: those that remove
    something from a list come last, from its end.
    """
    check = _Check(document if isinstance(document, dict) else {}, catalogue)
    findings = model_findings(WorkflowDefinition, document)
    findings += check.run()
    findings.sort(key=_patch_order)
    if any(finding.severity == "error" for finding in findings):
        return Report(None, tuple(findings))
    return Report(WorkflowDefinition.model_validate(document), tuple(findings))


def webhook_paths(definition: WorkflowDefinition, catalogue: Catalogue) -> list[str]:
    """The paths that the definition's enabled webhook triggers listen on."""
    paths = []
    for node in definition.nodes.values():
        spec = catalogue.get(node.type)
        path = spec.webhook_path_of(node.parameters) if spec is not None and not node.disabled else None
        if path is not None:
            paths.append(path)
    return paths


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
    catalogue: Catalogue
    findings: list[Finding] = field(default_factory=list)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    specs: dict[str, NodeSpec] = field(default_factory=dict)
    edges: list[graph.Edge] = field(default_factory=list)

    def run(self) -> list[Finding]:
        nodes = self.document.get("nodes")
        if isinstance(nodes, dict):
            self.nodes = {name: node for name, node in nodes.items() if isinstance(node, dict)}
            for name, node in self.nodes.items():
                self._check_node(name, node)
            self._check_names()
            self._check_webhook_paths()
        connections = self.document.get("connections")
        if isinstance(connections, list):
            for index, connection in enumerate(connections):
                self._check_connection(index, connection)
        if len(self.specs) == len(self.nodes) > 0:
            self._check_graph()
        return self.findings

    def _add(
        self, code: str, at: str, message: str, *, patch: Sequence[PatchOperation] = (), warning: bool = False
    ) -> None:
        severity = "warning" if warning else "error"
        self.findings.append(Finding(code=code, pointer=at, message=message, severity=severity, patch=tuple(patch)))

    def _check_node(self, name: str, node: dict[str, Any]) -> None:
        node_type = node.get("type")
        if not isinstance(node_type, str):
            return
        spec = self.catalogue.get(node_type)
        if spec is None:
            at = pointer("nodes", name, "type")
            near = nearest(node_type, self.catalogue.names())
            patch = [PatchOperation(op="replace", path=at, value=near)] if near else []
            self._add(
                "unknown_node_type",
                at,
                f"There is no node type {node_type!r}.{did_you_mean(near)} find_nodes lists the types.",
                patch=patch,
            )
            return
        self.specs[name] = spec
        root = pointer("nodes", name, "parameters")
        for problem in spec.problems_of(_parameters(node)):
            self._add(
                problem.code,
                root + pointer(*problem.path),
                problem.message,
                patch=_below(root, problem.patch) if "parameters" in node else (),
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
                    "connections and expressions would be mistaken for one another. Rename one.",
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
                    f"Triggers {first!r} and {name!r} listen on the same path {path!r}. Give one another path.",
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
            self.edges.append(edge)

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
            self._add("missing_node", at, f"There is no node {text!r}.{did_you_mean(value)}", patch=patch)
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
            what = "input" if side else "output"
            near = nearest(end.port, ports) or (ports[0] if len(ports) == 1 else None)
            patch = [PatchOperation(op="replace", path=at, value=f"{end.node}.{near}")] if near else []
            hint = (
                ' Set the node\'s on_error to "error_output" to have this output.'
                if end.port == ERROR_OUTPUT and not side
                else did_you_mean(near)
            )
            if end.port == ERROR_OUTPUT and not side:
                patch = [PatchOperation(op="add", path=pointer("nodes", end.node, "on_error"), value="error_output")]
            self._add(
                f"unknown_{what}",
                at,
                f"Node {end.node!r} has no {what} {end.port!r}; it has {', '.join(ports) or 'none'}.{hint}",
                patch=patch,
            )
            return None
        return end

    def _ports(self, node: str, side: int) -> list[str]:
        spec, parameters = self.specs[node], _parameters(self.nodes[node])
        if side == 1:
            return list(spec.inputs_of(parameters))
        outputs = list(spec.outputs_of(parameters))
        if self.nodes[node].get("on_error") == "error_output" and ERROR_OUTPUT not in outputs:
            outputs.append(ERROR_OUTPUT)
        return outputs

    def _check_graph(self) -> None:
        triggers = [name for name, spec in self.specs.items() if spec.is_trigger]
        if not triggers:
            self._add(
                "no_trigger",
                "/nodes",
                "No node is a trigger, so no execution could start. Add one, "
                'for example "start": {"type": "manual"}, and connect it to the first node.',
            )
        targets = graph.successors(self.edges)
        straight = [edge for edge in self.edges if edge.output != self.specs[edge.source].loop_output]
        for cycle in graph.find_cycles(self.nodes, graph.successors(straight)):
            self._add(
                "cycle",
                pointer("nodes", cycle[0]),
                f"The connections run in a circle: {' → '.join([*cycle, cycle[0]])}. Remove one of them, or lead the "
                "circle through a loop node's output batch.",
            )
        if triggers and not self._has_broken_connection():
            for name in self.nodes.keys() - graph.reachable(triggers, targets):
                self._add(
                    "unreachable_node",
                    pointer("nodes", name),
                    f"No connection leads from a trigger to {name!r}; it would never run. Connect it or remove it.",
                    warning=True,
                )

    def _has_broken_connection(self) -> bool:
        """Whether a connection was left out of the graph: then a node may only *seem* unreachable."""
        broken = {"missing_node", "unknown_output", "unknown_input"}
        return any(finding.code in broken for finding in self.findings)


def _parameters(node: dict[str, Any]) -> dict[str, Any]:
    parameters = node.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


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
