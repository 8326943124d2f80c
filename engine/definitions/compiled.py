"""Compiles a version of a workflow: nodes and edges by number, expressions parsed, parameters built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.definitions.loops import LoopBody, find_bodies
from engine.definitions.parameter_filling import Make, lead_to_free_places, maker
from engine.expressions.evaluator import CompiledTemplate, Evaluator, Row
from engine.node_api.item_loops import ItemLoop, LoopCode
from engine.node_api.node_type import AsyncNode, EffectNode, ItemNode, NodeType
from engine.node_api.parameters import ParameterModel, template_leaves
from engine.nodes.registry import NodeRegistry
from workflow.definitions import graph
from workflow.definitions.definition import ERROR_OUTPUT, NodeDefinition, WorkflowDefinition
from workflow.errors import ExpressionError, InvalidDefinitionError, NodeNotFoundError
from workflow.findings import Finding, listed, pointer
from workflow.ports import StoredWorkflow


@dataclass(slots=True, frozen=True)
class NodeParameters:
    """A node's parameters: ``constant`` where they hold no template, else made for each item.

    ``make`` puts the templates' values into their places; with ``is_whole`` its result needs no further check.
    """

    schema: ParameterModel
    templates: tuple[CompiledTemplate, ...]
    make: Make
    is_whole: bool
    constant: Any | None

    def fill(self, values: Row, item_index: int) -> Any:
        """The parameters with ``values`` in place of the templates.

        Raises:
            ExpressionError: an expression failed for the item.
            NodeError: a value does not fit, code ``bad_parameter``.
        """
        if isinstance(values, ExpressionError):
            raise values
        made = self.make(values)
        return made if self.is_whole else self.schema.build(made, item_index=item_index)


@dataclass(slots=True, frozen=True, kw_only=True)
class CompiledEdge:
    """An edge; ``source`` and ``target`` are indexes of nodes, ``input`` is an index of the target's inputs."""

    source: int
    target: int
    input: int


@dataclass(slots=True, frozen=True, kw_only=True)
class CompiledNode:
    """A node with everything that a run of it needs. Edges are indexes into :attr:`CompiledWorkflow.edges`.

    ``is_item_node`` and ``takes_time`` tell the kind of its type: to ask the class at each run costs more. ``loop``
    is the compiled loop of an item node, where it has one.
    """

    index: int
    name: str
    definition: NodeDefinition
    type: NodeType[Any]
    parameters: NodeParameters
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    edges_in: tuple[tuple[int, ...], ...]
    edges_out: Mapping[str, tuple[int, ...]]
    every_edge_out: tuple[int, ...]
    is_item_node: bool
    takes_time: bool
    loop: ItemLoop | None

    @property
    def is_leaf(self) -> bool:
        """Whether no edge leaves it: then its items are part of the execution's output."""
        return not self.edges_out


@dataclass(slots=True, frozen=True, kw_only=True)
class CompiledWorkflow:
    """A version ready to run. Immutable; any number of executions share it.

    ``owner`` is its workspace. ``bodies`` has the body of each loop by the loop's index, ``enclosing`` the innermost
    body of each node that lies in one. ``roots`` are the nodes without edges in, those from a loop's body aside.
    """

    workflow_id: str
    owner: str
    version: int
    definition: WorkflowDefinition
    nodes: tuple[CompiledNode, ...]
    edges: tuple[CompiledEdge, ...]
    index_by_name: Mapping[str, int]
    bodies: Mapping[int, LoopBody]
    enclosing: Mapping[int, LoopBody]
    roots: tuple[int, ...]

    @property
    def responds(self) -> bool:
        """Whether an enabled node answers webhook requests."""
        return any(node.type.name == "respond" and not node.definition.disabled for node in self.nodes)

    def trigger(self, *, node: str | None, type_name: str | None = None) -> CompiledNode:
        """The trigger to start at: the one named, else the first enabled one of the type, else the first enabled one.

        Raises:
            NodeNotFoundError: there is no such trigger.
        """
        named = self.nodes[self.index_by_name[node]] if node is not None and node in self.index_by_name else None
        if named is not None and named.type.is_trigger and not named.definition.disabled:
            return named
        triggers = [each for each in self.nodes if each.type.is_trigger and not each.definition.disabled]
        found = None
        if node is None:
            found = next((each for each in triggers if each.type.name == type_name), None) or next(iter(triggers), None)
        if found is None:
            raise NodeNotFoundError(
                f"The workflow has no enabled trigger {node!r}." if node else "The workflow has no enabled trigger.",
                pointer="/trigger",
                fix=f"Its triggers are: {listed(each.name for each in triggers)}.",
            )
        return found


def compile_workflow(stored: StoredWorkflow, *, registry: NodeRegistry, evaluator: Evaluator) -> CompiledWorkflow:
    """Compile a stored version; the checks have found no error in it.

    Raises:
        InvalidDefinitionError: a node type is no longer installed.
        ExpressionError: a template cannot be parsed.
    """
    definition = stored.definition
    names = list(definition.nodes)
    types = [_type_of(name, node, registry) for name, node in definition.nodes.items()]
    index_by_name = {name: index for index, name in enumerate(names)}
    ports_in = [
        tuple(kind.inputs_of(definition.nodes[name].parameters)) for name, kind in zip(names, types, strict=True)
    ]
    ports_out = [_outputs(definition.nodes[name], kind) for name, kind in zip(names, types, strict=True)]

    edges: list[CompiledEdge] = []
    batch_edges: list[tuple[int, int, bool]] = []
    edges_in: list[list[list[int]]] = [[[] for _ in ports] for ports in ports_in]
    edges_out: list[dict[str, list[int]]] = [{} for _ in names]
    for left, right in definition.connections:
        source, target = graph.parse_end(left, index_by_name), graph.parse_end(right, index_by_name)
        if source is None or target is None:
            raise LookupError(f"connection {left!r} → {right!r} passed the checks but names no node")
        here, there = index_by_name[source.node], index_by_name[target.node]
        place = ports_in[there].index(target.port) if target.port is not None else 0
        edges_in[there][place].append(len(edges))
        edges_out[here].setdefault(source.port or ports_out[here][0], []).append(len(edges))
        edges.append(CompiledEdge(source=here, target=there, input=place))
        output = source.port or ports_out[here][0]
        batch_edges.append((here, there, output == types[here].loop_output))

    nodes = tuple(
        CompiledNode(
            index=index,
            name=name,
            definition=definition.nodes[name],
            type=types[index],
            parameters=_parameters(definition.nodes[name].parameters, types[index], evaluator),
            inputs=ports_in[index],
            outputs=ports_out[index],
            edges_in=tuple(map(tuple, edges_in[index])),
            edges_out={output: tuple(found) for output, found in edges_out[index].items()},
            every_edge_out=tuple(edge for found in edges_out[index].values() for edge in found),
            is_item_node=isinstance(types[index], ItemNode),
            takes_time=isinstance(types[index], EffectNode | AsyncNode),
            loop=_loop(definition.nodes[name].parameters, types[index], evaluator),
        )
        for index, name in enumerate(names)
    )
    bodies = find_bodies(
        batch_edges, [node.index for node in nodes if node.type.loop_output], [n.index for n in nodes if not n.inputs]
    )
    back = frozenset().union(*(body.back for body in bodies))
    return CompiledWorkflow(
        bodies={body.loop: body for body in bodies},
        roots=tuple(node.index for node in nodes if all(edge in back for edges in node.edges_in for edge in edges)),
        # Smaller bodies lie inside larger ones and are written last, so the innermost one stays.
        enclosing={node: body for body in sorted(bodies, key=lambda each: -len(each.nodes)) for node in body.nodes},
        workflow_id=stored.id,
        owner=stored.owner,
        version=stored.version,
        definition=definition,
        nodes=nodes,
        edges=tuple(edges),
        index_by_name=index_by_name,
    )


def _type_of(name: str, node: NodeDefinition, registry: NodeRegistry) -> NodeType[Any]:
    found = registry.get(node.type)
    if found is None:
        raise InvalidDefinitionError(
            [
                Finding(
                    code="unknown_node_type",
                    pointer=pointer("nodes", name, "type"),
                    message=f"Node type {node.type!r} is no longer installed.",
                    fix="Install its package (the server's log says if it was left out), or change the node's type.",
                )
            ]
        )
    return found


def _outputs(node: NodeDefinition, kind: NodeType[Any]) -> tuple[str, ...]:
    outputs = tuple(kind.outputs_of(node.parameters))
    return (*outputs, ERROR_OUTPUT) if node.on_error == "error_output" and ERROR_OUTPUT not in outputs else outputs


def _loop(raw: dict[str, Any], kind: NodeType[Any], evaluator: Evaluator) -> ItemLoop | None:
    if not isinstance(kind, ItemNode):
        return None
    forms = {path: evaluator.compile(source).fast for path, source in template_leaves(raw)}
    fast = {path: form for path, form in forms.items() if form is not None}
    code = LoopCode(fast)
    return code.finish() if len(fast) == len(forms) and kind.write_loop(raw, code) else None


def _parameters(raw: dict[str, Any], kind: NodeType[Any], evaluator: Evaluator) -> NodeParameters:
    leaves = template_leaves(raw)
    paths = [path for path, _ in leaves]
    model = kind.parameter_model
    is_whole = bool(leaves) and model.trusts_free_values and lead_to_free_places(model, paths)
    whole = kind.schema.build(raw) if is_whole or not leaves else raw
    return NodeParameters(
        schema=kind.schema,
        templates=tuple(evaluator.compile(source) for _, source in leaves),
        make=maker(whole, paths) if leaves else lambda values: whole,
        is_whole=is_whole,
        constant=None if leaves else whole,
    )
