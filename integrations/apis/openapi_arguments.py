"""The arguments of one operation of an OpenAPI document: its parameters and its body, and where each goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast, get_args

from integrations.apis.bodies import FILE, FORM, BodyType
from integrations.apis.operations import NEVER_ARGUMENTS, READING, HttpOperation, Place
from integrations.apis.styles import Style, Writing
from workflow.items import JsonObject
from workflow.schemas.foreign import Conversion
from workflow.schemas.schema_parts import in_place

MOST_PARAMETERS = 300
MOST_ACCEPTED = 5
_PLACES = ("path", "query", "header", "cookie")
_STYLES: Mapping[str, frozenset[str]] = {
    "path": frozenset({"simple", "label", "matrix"}),
    "query": frozenset({"form", "spaceDelimited", "pipeDelimited", "deepObject"}),
    "header": frozenset({"simple"}),
    "cookie": frozenset({"form"}),
}
_JSON = frozenset({"*/*", "application/*", "application/json", "text/json", "application/x-json"})
_PLAIN = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "title",
        "description",
        "default",
        "deprecated",
        "format",
    }
)

Resolve = Callable[[Any], Any]


class OperationArguments:
    """Collects the arguments of one operation. ``resolve`` follows a reference of the document."""

    def __init__(self, method: str, path: str, *, conversion: Conversion, resolve: Resolve) -> None:
        self._method = method
        self._path = path
        self._conversion = conversion
        self._resolve = resolve
        self._properties: JsonObject = {}
        self._required: list[str] = []
        self._places: dict[str, tuple[Place, str]] = {}
        self._writings: dict[str, Writing] = {}
        self._rest: JsonObject = {"additionalProperties": False}
        self._whole: str | None = None
        self._body_type: BodyType = "json"
        self._media_type: str | None = None

    def schema(self) -> JsonObject:
        """The schema of all arguments together."""
        made = {"type": "object", "properties": self._properties, **self._rest}
        return {**made, "required": list(dict.fromkeys(self._required))} if self._required else made

    def operation(self, *, accept: str | None) -> HttpOperation:
        """The operation that they make a request of."""
        return HttpOperation(
            method=self._method,
            path=self._path,
            places=self._places,
            writings=self._writings,
            headers={"accept": accept} if accept is not None else {},
            whole_body=self._whole,
            body_type=self._body_type,
            media_type=self._media_type,
        )

    def add_parameters(self, parameters: Any) -> None:
        """Add the parameters, of which a later one stands for an earlier one of its name in the same place."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for given in parameters[:MOST_PARAMETERS] if isinstance(parameters, list) else []:
            parameter = self._resolve(given)
            if not isinstance(parameter, Mapping) or not isinstance(parameter.get("name"), str):
                continue
            place, name = str(parameter.get("in")), parameter["name"]
            is_ours = place in _PLACES and not (place == "header" and name.lower() in NEVER_ARGUMENTS)
            if is_ours and (place != "path" or f"{{{name}}}" in self._path):
                found[place, name] = parameter
        for name in re.findall(r"\{([^{}/]+)\}", self._path):
            found.setdefault(("path", name), {"schema": {"type": "string"}})
        for place, name in sorted(found, key=lambda each: _PLACES.index(each[0])):
            self._add_parameter(cast("Place", place), name, found[place, name])

    def add_body(self, body: Any) -> None:
        """Add the body: its members where it is an object of them, else the whole of it as one argument."""
        body = self._resolve(body)
        content = body.get("content") if isinstance(body, Mapping) else None
        if not isinstance(content, Mapping) or not content or self._method in READING:
            return
        declared, kind = _chosen(content)
        media = content[declared] if isinstance(content[declared], Mapping) else {}
        is_required = body.get("required") is True
        self._body_type = kind
        self._media_type = None if "*" in declared or declared == "application/json" else declared
        if kind in ("text", "binary"):
            self._add_whole(FILE if kind == "binary" else {"type": "string"}, is_required, body)
            return
        source = media.get("schema", {})
        schema = self._conversion.schema(source)
        encoding = self._resolve(media.get("encoding"))
        members = _members(schema)
        taken = self._properties.keys()
        if members is None or taken & members["properties"].keys() or (taken and _is_closed(schema)):
            if kind == "multipart":
                schema = {**schema, "properties": _with_files(schema.get("properties", {}))}
            self._add_whole(schema, is_required, body)
            self._add_writings(encoding, schema.get("properties", {}), kind)
            return
        properties = _with_files(members["properties"]) if kind == "multipart" else members["properties"]
        self._properties |= properties
        self._add_writings(encoding, properties, kind)
        self._rest = {"additionalProperties": members.get("additionalProperties", False)}
        if is_required:
            self._required += members.get("required", [])
            self._rest |= {name: members[name] for name in ("anyOf", "oneOf", "allOf") if name in members}

    def _add_parameter(self, place: Place, name: str, parameter: Mapping[str, Any]) -> None:
        content = parameter.get("content")
        media_type, source = None, parameter.get("schema", {})
        if isinstance(content, Mapping) and content:
            media_type, media = next(iter(content.items()))
            source = media.get("schema", {}) if isinstance(media, Mapping) else {}
        schema = self._conversion.schema(source)
        if isinstance(parameter.get("description"), str) and "description" not in schema:
            schema["description"] = parameter["description"][:2_000]
        argument = self._free_name(name, f"{name}_{place}")
        self._properties[argument] = schema
        self._places[argument] = (place, name)
        writing = _writing(place, parameter, media_type)
        if writing is not None:
            self._writings[argument] = writing
        if parameter.get("required") is True or place == "path":
            self._required.append(argument)

    def _add_whole(self, schema: JsonObject, is_required: bool, body: Mapping[str, Any]) -> None:
        name = self._free_name("body", "request_body")
        self._whole = name
        if isinstance(body.get("description"), str) and "description" not in schema:
            schema = {**schema, "description": body["description"][:2_000]}
        self._properties[name] = schema
        if is_required:
            self._required.append(name)

    def _add_writings(self, encoding: Any, members: Mapping[str, Any], kind: BodyType) -> None:
        for name, given in encoding.items() if isinstance(encoding, Mapping) and kind != "json" else ():
            if name not in members or not isinstance(given, Mapping):
                continue
            is_styled = kind == "form" and any(each in given for each in ("style", "explode", "allowReserved"))
            media_type = given.get("contentType")
            if is_styled:
                self._writings[name] = _writing("query", given, None) or Writing()
            elif isinstance(media_type, str):
                self._writings[name] = Writing(media_type=media_type)

    def _free_name(self, name: str, other: str) -> str:
        number = 2
        made = name
        while made in self._properties:
            made, number = (other, number) if made == name else (f"{other}_{number}", number + 1)
        return made


def accepted(responses: Any, resolve: Resolve) -> str | None:
    """What to ask for in ``Accept``, where answers are of other types than JSON alone."""
    found: list[str] = []
    for status, given in responses.items() if isinstance(responses, Mapping) else ():
        answer = resolve(given) if str(status).startswith("2") or status == "default" else None
        content = answer.get("content") if isinstance(answer, Mapping) else None
        found += [each for each in content if isinstance(each, str)] if isinstance(content, Mapping) else []
    kinds = list(
        dict.fromkeys(each.partition(";")[0].strip() for each in found if each.isascii() and each.isprintable())
    )
    if not kinds or "application/json" in kinds or "*/*" in kinds:
        return None
    return ", ".join([each for each in kinds if _is_json(each)] or kinds[:MOST_ACCEPTED])


def _chosen(content: Mapping[Any, Any]) -> tuple[str, BodyType]:
    """The media type to send, of those that are declared, and how it is made."""
    kinds = {str(each): _kind(str(each)) for each in content}
    order = list(get_args(BodyType))
    return min(kinds.items(), key=lambda each: (each[0] != "application/json", order.index(each[1])))


def _kind(media_type: str) -> BodyType:
    essence = media_type.partition(";")[0].strip().lower()
    if _is_json(essence):
        return "json"
    if essence == FORM:
        return "form"
    if essence == "multipart/form-data":
        return "multipart"
    if essence.startswith("text/") or essence.endswith(
        ("/xml", "+xml", "json-seq", "ndjson", "jsonl", "yaml", "+yaml")
    ):
        return "text"
    return "binary"


def _is_json(essence: str) -> bool:
    return essence.lower() in _JSON or essence.lower().endswith("+json")


def _writing(place: str, given: Mapping[str, Any], media_type: Any) -> Writing | None:
    """How it is written there; ``None`` where that is the usual way of the place."""
    usual: Style = "form" if place in ("query", "cookie") else "simple"
    style = given.get("style") if given.get("style") in _STYLES[place] else usual
    explode = given["explode"] if isinstance(given.get("explode"), bool) else style in ("form", "deepObject")
    made = Writing(
        style=cast("Style", style),
        explode=explode,
        allow_reserved=given.get("allowReserved") is True,
        media_type=media_type if isinstance(media_type, str) else None,
    )
    return None if made == Writing(style=usual, explode=usual == "form") else made


def _members(schema: JsonObject) -> JsonObject | None:
    """The schema as one object with all its members; ``None`` where it is more than that."""
    made: JsonObject = {"properties": {}, "required": []}
    waiting = [schema]
    while waiting:
        part = waiting.pop(0)
        if not isinstance(part, dict) or part.keys() - _PLAIN - {"allOf", "anyOf", "oneOf"}:
            return None
        if part.get("type", "object") != "object":
            return None
        for name, member in part.get("properties", {}).items():
            known = made["properties"].get(name)
            made["properties"][name] = member if known in (None, {}, member) else {"allOf": [known, member]}
        made["required"] += part.get("required", [])
        if part.get("additionalProperties") not in (None, False):
            made.setdefault("additionalProperties", part["additionalProperties"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in part:
                made.setdefault("allOf", []).append({keyword: part[keyword]})
        waiting += part.get("allOf", [])
    if not made["properties"]:
        return None
    for name, member in _of_branches(made.get("allOf", [])):
        made["properties"].setdefault(name, member)
    alone = made.get("allOf", [])
    return {**{name: made[name] for name in made if name != "allOf"}, **alone[0]} if len(alone) == 1 else made


def _of_branches(choices: list[JsonObject]) -> Iterator[tuple[str, Any]]:
    """The members that only branches have: anything that one of the branches allows."""
    found: dict[str, list[Any]] = {}
    for choice in choices:
        for part in in_place(choice):
            for name, member in part.get("properties", {}).items():
                if member not in found.setdefault(name, []):
                    found[name].append(member)
    for name, members in found.items():
        yield name, members[0] if len(members) == 1 else {"anyOf": members}


def _is_closed(schema: JsonObject) -> bool:
    """Whether a branch refuses members that it does not name, as parameters would be."""
    return any(part is not schema and part.get("additionalProperties") not in (None, True) for part in in_place(schema))


def _with_files(members: Any) -> JsonObject:
    """The members of a multipart body; those that are files take bytes."""
    made: JsonObject = {}
    for name, member in members.items() if isinstance(members, dict) else ():
        if _is_file(member):
            made[name] = _file(member)
        elif isinstance(member, dict) and _is_file(member.get("items")):
            made[name] = {**member, "items": _file(member["items"])}
        else:
            made[name] = member
    return made


def _is_file(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    return schema.get("format") == "binary" or ("contentMediaType" in schema and "contentEncoding" not in schema)


def _file(schema: JsonObject) -> JsonObject:
    said = " ".join(each for each in (schema.get("description"), FILE["description"]) if each)
    return {**FILE, "description": said}
