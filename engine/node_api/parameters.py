"""A node type's parameters: checked while they still hold expressions, and again with their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from engine.expressions.template import is_template
from workflow.credential_forms import NAME
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError
from workflow.findings import Finding, pointer
from workflow.schemas.model_findings import existing_path, model_findings

Path = tuple[str | int, ...]

CredentialName = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
"""The type of a parameter ``credential``, which names a credential of the workspace."""

_FIELD_CODES = {
    "missing_field": "missing_parameter",
    "unknown_field": "unknown_parameter",
    "bad_value": "bad_parameter",
}


class Parameters(BaseModel):
    """Root of all parameter models: unknown fields are errors, and values never change.

    ``trusts_free_values`` says that no validator looks at the fields of type ``Any``, so that an expression's value
    is put there unchecked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    trusts_free_values: ClassVar[bool] = False


class ParameterModel:
    """A pydantic model in whose data any value may be an expression until the node runs."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def problems(self, parameters: Mapping[str, Any]) -> list[ParameterProblem]:
        """Everything that is wrong with ``parameters`` whatever their expressions evaluate to."""
        findings = model_findings(self.model, dict(parameters))
        if not findings:
            return []
        undecided = [pointer(*path) for path, _ in template_leaves(parameters)]
        return [
            _problem(finding) for finding in findings if not any(_concerns(finding, template) for template in undecided)
        ]

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema that agents read, without the titles, which only repeat the names."""
        schema = self.model.model_json_schema()
        _drop_titles(schema)
        schema.pop("description", None)
        return schema

    def build(self, values: Mapping[str, Any], *, item_index: int | None = None) -> Any:
        """The model of these values; every expression among them is evaluated.

        Raises:
            NodeError: a value does not fit, code ``bad_parameter``.
        """
        try:
            return self.model.model_validate(values)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            path = existing_path(values, detail["loc"], missing=detail["type"] == "missing")
            raise NodeError(
                f"Parameter {pointer(*path)} cannot be {detail['input']!r:.100}: {detail['msg']}.",
                code="bad_parameter",
                pointer=pointer("parameters", *path),
                item_index=item_index,
                fix="Look at the expression's result for this item, and change the expression or the data.",
            ) from error


def template_leaves(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    """Path and text of every template in ``value``, in document order."""
    if is_template(value):
        return [(path, value)]
    found: list[tuple[Path, str]] = []
    if isinstance(value, Mapping):
        for key, member in value.items():
            found += template_leaves(member, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, member in enumerate(value):
            found += template_leaves(member, (*path, index))
    return found


def _concerns(finding: Finding, template: str) -> bool:
    """Whether the template's value may remove the finding: the finding is about the template, or about a model
    that contains it."""
    if finding.code != "bad_value":
        return False
    at = finding.pointer
    return at == template or template.startswith(at + "/")


def _problem(finding: Finding) -> ParameterProblem:
    parts = finding.pointer.split("/")[1:]
    path = tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
    return ParameterProblem(
        code=_FIELD_CODES[finding.code], path=path, message=finding.message, patch=finding.patch, fix=finding.fix
    )


def _drop_titles(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for member in schema.values():
            _drop_titles(member)
    elif isinstance(schema, list):
        for member in schema:
            _drop_titles(member)
