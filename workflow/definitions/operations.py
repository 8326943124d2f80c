"""Operations that change a definition: small steps, applied all together or not at all."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal, assert_never

import jsonpatch
import jsonpointer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from workflow.definitions import graph
from workflow.errors import InvalidOperationError
from workflow.findings import Finding, PatchOperation, did_you_mean, listed, nearest, pointer
from workflow.schemas.model_findings import model_findings


class _Operation(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AddNode(_Operation):
    """Add a node; ``after`` connects it behind an existing node's output in the same step."""

    op: Literal["add_node"]
    name: str
    node: dict[str, Any]
    after: str | None = None


class UpdateNode(_Operation):
    """Change members of a node; objects are merged, null removes a member (RFC 7396)."""

    op: Literal["update_node"]
    name: str
    changes: dict[str, Any]


class RemoveNode(_Operation):
    """Remove a node and every connection to or from it."""

    op: Literal["remove_node"]
    name: str


class RenameNode(_Operation):
    """Rename a node, also in connections and in the expressions that refer to it."""

    op: Literal["rename_node"]
    name: str
    new_name: str


class Connect(_Operation):
    """Add a connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    op: Literal["connect"]
    from_: str = Field(alias="from")
    to: str


class Disconnect(_Operation):
    """Remove a connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    op: Literal["disconnect"]
    from_: str = Field(alias="from")
    to: str


class SetWorkflow(_Operation):
    """Change the name, the description or settings; settings are merged."""

    op: Literal["set_workflow"]
    name: str | None = None
    description: str | None = None
    settings: dict[str, Any] | None = None


class Patch(_Operation):
    """Apply a JSON Patch to the definition, such as the one a finding offers."""

    op: Literal["patch"]
    patch: list[dict[str, Any]]


Operation = Annotated[
    AddNode | UpdateNode | RemoveNode | RenameNode | Connect | Disconnect | SetWorkflow | Patch,
    Field(discriminator="op"),
]

_OPERATIONS: TypeAdapter[list[Operation]] = TypeAdapter(list[Operation])


_MODELS: dict[str, type[_Operation]] = {
    "add_node": AddNode,
    "update_node": UpdateNode,
    "remove_node": RemoveNode,
    "rename_node": RenameNode,
    "connect": Connect,
    "disconnect": Disconnect,
    "set_workflow": SetWorkflow,
    "patch": Patch,
}

_OTHER_WORDS = {
    "addconnection": "connect",
    "add_connection": "connect",
    "removeconnection": "disconnect",
    "remove_connection": "disconnect",
    "deletenode": "remove_node",
    "delete_node": "remove_node",
    "updatesettings": "set_workflow",
    "updatename": "set_workflow",
    "json_patch": "patch",
}
"""What other tools call these operations."""


def parse_operations(raw: list[Any]) -> list[Operation]:
    """The operations as they were sent, checked.

    Raises:
        InvalidOperationError: some have not the form of their ``op``; pointers are ``/operations/{index}…``.
    """
    findings = [finding for index, operation in enumerate(raw) for finding in _form_findings(index, operation)]
    if findings:
        raise InvalidOperationError.of(findings)
    return _OPERATIONS.validate_python(raw)


def _form_findings(index: int, raw: Any) -> list[Finding]:
    at = pointer("operations", index)
    if not isinstance(raw, dict):
        fix = 'Send objects such as {"op": "connect", "from": "a", "to": "b"}.'
        return [
            Finding(code="bad_value", pointer=at, message=f"An operation is an object; given: {raw!r:.60}.", fix=fix)
        ]
    op, given_as = raw.get("op"), "op"
    if op is None and isinstance(raw.get("type"), str):
        op, given_as = raw["type"], "type"
    if given_as == "op" and op in _MODELS:
        return [_below(at, finding) for finding in model_findings(_MODELS[op], raw)]
    near = nearest(str(op), _MODELS, likeness=0.7) or _OTHER_WORDS.get(str(op).lower())
    moved = {"op": "move", "from": f"{at}/type", "path": f"{at}/op"}
    patch = [PatchOperation.model_validate(moved)] if given_as == "type" and near else []
    if near is not None and op != near:
        patch.append(PatchOperation(op="replace", path=f"{at}/op", value=near))
    return [
        Finding(
            code="bad_value",
            pointer=f"{at}/op",
            message=f"{op!r} is no operation.{did_you_mean(near)}" if op else "The operation has no op.",
            patch=tuple(patch),
            fix=f"The operations are {listed(_MODELS)}; the tool's schema gives their members.",
        )
    ]


def _below(at: str, finding: Finding) -> Finding:
    """A finding on one operation, with pointers that start where the list of them is."""
    patch = tuple(
        each.model_copy(update={"path": at + each.path, "from_": at + each.from_ if each.from_ is not None else None})
        for each in finding.patch
    )
    return finding.model_copy(update={"pointer": at + finding.pointer, "patch": patch})


def apply_operations(document: dict[str, Any], operations: list[Operation]) -> dict[str, Any]:
    """A changed copy of ``document``; the operations are applied in order.

    Raises:
        InvalidOperationError: one cannot be applied; its pointer is ``/operations/{index}…``.
    """
    changed = copy.deepcopy(document)
    for index, operation in enumerate(operations):
        changed = _Editor(changed, pointer("operations", index)).apply(operation)
    return changed


class _Editor:
    """Applies one operation to a definition that is its own to change."""

    def __init__(self, document: dict[str, Any], at: str) -> None:
        self._document = document
        self._at = at
        self._nodes: dict[str, Any] = document.setdefault("nodes", {})
        self._connections: list[Any] = document.setdefault("connections", [])

    def apply(self, operation: Operation) -> dict[str, Any]:
        match operation:
            case AddNode():
                self._add_node(operation)
            case UpdateNode():
                name = self._known(operation.name)
                self._nodes[name] = merge_patch(self._nodes[name], operation.changes)
            case RemoveNode():
                self._remove_node(operation.name)
            case RenameNode():
                self._rename_node(operation)
            case Connect():
                self._connections.append([operation.from_, operation.to])
            case Disconnect():
                self._disconnect(operation)
            case SetWorkflow():
                for member, value in operation.model_dump(exclude={"op"}, exclude_none=True).items():
                    self._document[member] = merge_patch(self._document.get(member), value)
            case Patch():
                return self._patched(operation)
            case _:
                assert_never(operation)
        return self._document

    def _known(self, name: str) -> str:
        if name not in self._nodes:
            near = nearest(name, self._nodes)
            raise InvalidOperationError(
                f"There is no node {name!r}.{did_you_mean(near)}",
                pointer=f"{self._at}/name",
                fix=f"The nodes are: {listed(self._nodes)}.",
            )
        return name

    def _free(self, name: str, member: str) -> str:
        if name in self._nodes:
            raise InvalidOperationError(
                f"There is a node {name!r} already.",
                pointer=f"{self._at}/{member}",
                fix="Choose another name, or use update_node to change the one there is.",
            )
        return name

    def _add_node(self, operation: AddNode) -> None:
        self._nodes[self._free(operation.name, "name")] = operation.node
        if operation.after is not None:
            self._connections.append([operation.after, operation.name])

    def _remove_node(self, name: str) -> None:
        self._known(name)
        self._connections[:] = [pair for pair in self._connections if all(self._node_of(end) != name for end in pair)]
        del self._nodes[name]

    def _rename_node(self, operation: RenameNode) -> None:
        old = self._known(operation.name)
        new = self._free(operation.new_name, "new_name")
        self._connections[:] = [[self._renamed_end(end, old, new) for end in pair] for pair in self._connections]
        renamed = {new if name == old else name: node for name, node in self._nodes.items()}
        self._document["nodes"] = _with_references(renamed, old, new)

    def _disconnect(self, operation: Disconnect) -> None:
        pair = [operation.from_, operation.to]
        if pair not in [list(known) for known in self._connections]:
            near = [known for known in self._connections if self._node_of(known[1]) == self._node_of(operation.to)]
            raise InvalidOperationError(
                f"There is no connection from {operation.from_!r} to {operation.to!r}.",
                pointer=self._at,
                fix="Name both ends as the definition's connections do. "
                f"To {operation.to!r} these lead: {listed(' → '.join(pair) for pair in near)}.",
            )
        self._connections[:] = [known for known in self._connections if list(known) != pair]

    def _patched(self, operation: Patch) -> dict[str, Any]:
        try:
            patched = jsonpatch.apply_patch(self._document, operation.patch)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
            raise InvalidOperationError(
                f"The JSON Patch cannot be applied: {error}.",
                pointer=f"{self._at}/patch",
                fix="Paths start at the definition's root, for example /nodes/start/type.",
            ) from error
        if not isinstance(patched, dict):
            raise InvalidOperationError(
                "The JSON Patch leaves no object.",
                pointer=f"{self._at}/patch",
                fix="A definition is an object; replace its members, not the whole.",
            )
        return patched

    def _node_of(self, end: Any) -> str | None:
        parsed = graph.parse_end(end, self._nodes) if isinstance(end, str) else None
        return parsed.node if parsed is not None else None

    def _renamed_end(self, end: Any, old: str, new: str) -> Any:
        parsed = graph.parse_end(end, self._nodes) if isinstance(end, str) else None
        if parsed is None or parsed.node != old:
            return end
        return graph.format_end(parsed._replace(node=new))


def merge_patch(target: Any, changes: Any) -> Any:
    """``target`` with a JSON Merge Patch (RFC 7396) applied; neither is changed."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _with_references(value: Any, old: str, new: str) -> Any:
    """``value`` with ``$('old')``, ``$node["old"]`` and ``$items("old")`` in its templates renamed."""
    if isinstance(value, dict):
        return {name: _with_references(member, old, new) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_references(member, old, new) for member in value]
    if not (isinstance(value, str) and value.startswith("=")):
        return value
    reference = re.compile(r"(\$\(\s*|\$items\(\s*|\$node\[\s*)(?P<quote>['\"`])" + re.escape(old) + r"(?P=quote)")
    quoted = new.replace("\\", "\\\\")
    return reference.sub(
        lambda match: (
            match[1] + match["quote"] + quoted.replace(match["quote"], "\\" + match["quote"]) + match["quote"]
        ),
        value,
    )
