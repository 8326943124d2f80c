"""Templates as documents, JSON or TOML: what people write, send, export and keep in files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from prompts.syntax import MAX_SOURCE_CHARACTERS, SLUG
from workflow.errors import InvalidArgumentsError
from workflow.prompt_templates import (
    InvalidPromptError,
    PromptTemplate,
    TemplateMessage,
    TemplateVariable,
    VariableType,
)
from workflow.schemas.documents import parse_document
from workflow.schemas.model_findings import model_findings

MAX_MESSAGES = 20
MAX_VARIABLES = 100
MOST_IMPORTED = 200

Name = Annotated[str, StringConstraints(pattern=f"^{SLUG}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,59}$")]
# No database keeps the character U+0000 in what it can search.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1_000)]


class MessageDocument(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "user", "assistant"] = Field(default="user", description="system, user or assistant.")
    content: str = Field(max_length=MAX_SOURCE_CHARACTERS, description="Text with variables: Hello {{ name }}.")


class VariableDocument(BaseModel):
    """One variable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: VariableName = Field(description="What stands in {{ }}: letters, digits, underscores.")
    type: VariableType = "string"
    description: Line = ""
    required: bool | None = Field(default=None, description="By default, where there is no default.")
    default: Any = None
    enum: list[Any] = Field(default=[], max_length=100, description="The values that are allowed.")
    from_outside: bool = Field(default=False, description="Nobody here writes its values: fence them as data.")


class TemplateDocument(BaseModel):
    """A template but for its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Line = Field(min_length=1, description="What people see in lists.")
    description: Line = Field(default="", description="What it is for.")
    messages: list[MessageDocument] = Field(
        min_length=1, max_length=MAX_MESSAGES, description='[{"role": "system|user|assistant", "content": "…"}].'
    )
    variables: list[VariableDocument] = Field(default=[], max_length=MAX_VARIABLES)
    is_partial: bool = Field(default=False, description="Others include it; it has one message.")


class NamedDocument(TemplateDocument):
    """A template with its name, as exports have it."""

    name: Name = Field(description="Small letters, digits, - and _; beginning with a letter.")


def template_of(name: str, document: Any, *, at: str = "") -> PromptTemplate:
    """The template that a document describes; texts of the document are not looked into yet.

    Raises:
        InvalidPromptError: it has not the form of one; findings point into the document, behind ``at``.
    """
    known: Any = {**document, "name": name} if isinstance(document, Mapping) else document
    findings = model_findings(NamedDocument, known)
    if findings:
        if at:  # the patches are for the template's own document
            findings = [each.model_copy(update={"pointer": at + each.pointer, "patch": ()}) for each in findings]
        raise InvalidPromptError(findings)
    read = NamedDocument.model_validate(known)
    return PromptTemplate(
        name=read.name,
        version=0,
        title=read.title,
        description=read.description,
        messages=tuple(TemplateMessage(role=each.role, content=each.content) for each in read.messages),
        variables=tuple(
            TemplateVariable(
                name=each.name,
                type=each.type,
                description=each.description,
                required=each.required if each.required is not None else each.default is None,
                default=each.default,
                enum=tuple(each.enum),
                is_from_outside=each.from_outside,
            )
            for each in read.variables
        ),
        is_partial=read.is_partial,
    )


def document_of(template: PromptTemplate) -> dict[str, Any]:
    """The template as a document; what is as it is by default is left out."""
    document: dict[str, Any] = {"title": template.title}
    if template.description:
        document["description"] = template.description
    if template.is_partial:
        document["is_partial"] = True
    document["messages"] = [{"role": each.role, "content": each.content} for each in template.messages]
    if template.variables:
        document["variables"] = [variable_document(each) for each in template.variables]
    return document


def variable_document(variable: TemplateVariable) -> dict[str, Any]:
    """A variable as a document."""
    document: dict[str, Any] = {"name": variable.name}
    if variable.type != "string":
        document["type"] = variable.type
    if variable.description:
        document["description"] = variable.description
    if variable.required != (variable.default is None):
        document["required"] = variable.required
    if variable.default is not None:
        document["default"] = variable.default
    if variable.enum:
        document["enum"] = list(variable.enum)
    if variable.is_from_outside:
        document["from_outside"] = True
    return document


def read_text(text: str | bytes, *, pointer: str = "") -> Any:
    """The value of a document in JSON or TOML, whichever it is.

    Raises:
        InvalidArgumentsError: it is neither.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise InvalidArgumentsError(
            f"This is no text: {error}.", pointer=pointer, fix="Send JSON or TOML in UTF-8."
        ) from error
    # JSON's documents begin so; a TOML document may begin with [, but then a name follows.
    if decoded.lstrip()[:1] == "{" or decoded.lstrip()[:2] in ('["', "[{", "[]"):
        return parse_document(decoded, pointer=pointer)[0]
    try:
        return tomllib.loads(decoded.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgumentsError(
            f"This is neither JSON nor TOML: {error}.", pointer=pointer, fix="Send one of the two."
        ) from error


def exported(templates: Sequence[PromptTemplate]) -> dict[str, Any]:
    """Templates as one document, which :func:`imported` reads."""
    return {"prompts": [{"name": each.name, **document_of(each)} for each in templates]}


def imported(document: Any) -> list[PromptTemplate]:
    """The templates of an exported document, or of one template's with its name.

    Raises:
        InvalidArgumentsError: it has another form.
        InvalidPromptError: one of them has.
    """
    if isinstance(document, Mapping) and "prompts" not in document and "messages" in document:
        document = {"prompts": [document]}
    listed = document.get("prompts") if isinstance(document, Mapping) else None
    if not isinstance(listed, list) or not listed or len(listed) > MOST_IMPORTED:
        raise InvalidArgumentsError(
            "This is no export of prompt templates.",
            pointer="/prompts",
            fix=f'Send {{"prompts": [{{"name", "title", "messages", …}}]}}, at most {MOST_IMPORTED} at once.',
        )
    found: dict[str, PromptTemplate] = {}
    for number, each in enumerate(listed):
        name = each.get("name", "") if isinstance(each, Mapping) else ""
        template = template_of(name, each, at=f"/prompts/{number}")
        if template.name in found:
            raise InvalidArgumentsError(
                f"There are two templates {name!r} in it.", pointer=f"/prompts/{number}/name", fix="Keep one of them."
            )
        found[template.name] = template
    return list(found.values())


def toml_text(document: Mapping[str, Any]) -> str:
    """An export, or one template's document, as TOML that people can read and edit."""
    if "prompts" in document:
        return "\n".join(_toml_table(each, "prompts") for each in document["prompts"])
    return _toml_table(document, "")


def _toml_table(document: Mapping[str, Any], name: str) -> str:
    """One template; ``name`` is that of the array of tables that it is in."""
    lines = [f"[[{name}]]"] if name else []
    tables: list[str] = []
    for key, value in document.items():
        if key in ("messages", "variables"):
            for each in value:
                tables += ["", f"[[{name}.{key}]]" if name else f"[[{key}]]"]
                tables += [f"{inner} = {_toml_value(member)}" for inner, member in each.items()]
        else:
            lines.append(f"{key} = {_toml_value(value)}")
    return "\n".join([*lines, *tables, ""])


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(each) for each in value)}]"
    if isinstance(value, Mapping):
        members = (f"{_toml_text(str(key))} = {_toml_value(each)}" for key, each in value.items())
        return f"{{{', '.join(members)}}}"
    if value is None:
        raise InvalidArgumentsError(
            "TOML has no null, and a variable has one in its default or its allowed values.",
            pointer="/format",
            fix="Export as JSON.",
        )
    return json.dumps(value)


def _toml_text(text: str) -> str:
    """A text as TOML: in lines where it has lines."""
    if "\n" in text and '"""' not in text and "\r" not in text:
        body = "\n".join(json.dumps(line, ensure_ascii=False)[1:-1].replace('\\"', '"') for line in text.split("\n"))
        # A quotation mark at the end would stick to the three that end the text.
        body = f'{body[:-1]}\\"' if body.endswith('"') else body
        return f'"""\n{_without_del(body)}"""'
    return _without_del(json.dumps(text, ensure_ascii=False))


def _without_del(text: str) -> str:
    """JSON leaves U+007F as it is, which TOML does not allow."""
    return text.replace("\x7f", "\\u007F")
