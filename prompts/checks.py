"""Finds what is wrong with a template before it is rendered: every problem at once, with its fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prompts.rendering import Parts
from prompts.syntax import RESERVED, analysis, reached_by, shown_of
from prompts.variables import fitted_value
from workflow.findings import Finding, PatchOperation, did_you_mean, nearest
from workflow.prompt_templates import PromptTemplate


@dataclass(slots=True, frozen=True, kw_only=True)
class Unfit:
    """Partials that cannot be included: why each of them cannot, by the name that ``include`` has for it."""

    missing: Mapping[str, str]
    cycle: tuple[str, ...] = ()


def template_findings(parts: Parts, unfit: Unfit) -> list[Finding]:
    """All errors and warnings about a template; pointers lead into its document."""
    template = parts.template
    findings = [*_variable_findings(template), *_form_findings(template)]
    texts = [*_text_findings(template), *_include_findings(template, unfit)]
    if not texts:
        texts = [*_undeclared(parts), *_unused(parts), *_outside_in_system(parts)]
    return findings + texts


def _variable_findings(template: PromptTemplate) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, each in enumerate(template.variables):
        at = f"/variables/{number}"
        if each.name in seen or each.name in RESERVED:
            why = "is there twice" if each.name in seen else "has a meaning of its own"
            yield Finding(
                code="bad_value",
                pointer=f"{at}/name",
                message=f"The variable {each.name!r} {why}.",
                fix="Rename it." if each.name in RESERVED else "Keep one of the two.",
            )
        seen.add(each.name)
        if each.required and each.default is not None:
            yield Finding(
                code="bad_value",
                pointer=f"{at}/default",
                message=f"The variable {each.name!r} is required, so that its default never counts.",
                patch=(PatchOperation(op="remove", path=f"{at}/required"),),
                fix="Take one of the two away.",
            )
        for place, value in (("default", each.default), *((f"enum/{n}", value) for n, value in enumerate(each.enum))):
            if value is None and place == "default":
                continue
            fitted = fitted_value(each, value)
            if isinstance(fitted, Finding):
                yield fitted.model_copy(update={"pointer": f"{at}/{place}", "patch": ()})
            elif isinstance(fitted[0], bool) != isinstance(value, bool) or fitted[0] != value:
                yield Finding(
                    code="bad_value",
                    pointer=f"{at}/{place}",
                    message=f"This is not of the type {each.type} itself.",
                    patch=(PatchOperation(op="replace", path=f"{at}/{place}", value=fitted[0]),),
                )


def _form_findings(template: PromptTemplate) -> Iterator[Finding]:
    if template.is_partial and len(template.messages) != 1:
        yield Finding(
            code="bad_value",
            pointer="/messages",
            message="A partial has one message: its text, which others include in theirs.",
            fix="Keep one message, or make several partials.",
        )


def _text_findings(template: PromptTemplate) -> Iterator[Finding]:
    for number, each in enumerate(template.messages):
        for problem in analysis(each.content).problems:
            at = f"/messages/{number}/content"
            yield Finding(code="bad_prompt", pointer=at, message=problem.message, fix=problem.fix)


def _include_findings(template: PromptTemplate, unfit: Unfit) -> Iterator[Finding]:
    for number, each in enumerate(template.messages):
        at = f"/messages/{number}/content"
        for name in analysis(each.content).includes:
            if name in unfit.missing:
                yield Finding(
                    code="missing_partial",
                    pointer=at,
                    message=unfit.missing[name],
                    fix="Save the partial first, or include another one.",
                )
    deeper = [
        name for name in unfit.missing if all(name not in analysis(m.content).includes for m in template.messages)
    ]
    for name in deeper:
        yield Finding(
            code="missing_partial",
            pointer="/messages",
            message=f"A partial that is included here is unfit itself. {unfit.missing[name]}",
            fix="Mend that partial first.",
        )
    if unfit.cycle:
        yield Finding(
            code="partial_cycle",
            pointer="/messages",
            message=f"Partials include each other without end: {' → '.join(unfit.cycle)}.",
            fix="Take one of these includes away.",
        )


def _undeclared(parts: Parts) -> Iterator[Finding]:
    template = parts.template
    declared = [each.name for each in template.variables]
    assigned = {name for source in parts.sources for name in analysis(source).assigns}
    has_list = bool(declared)
    reported: set[str] = set()
    for number, each in enumerate(template.messages):
        for name in sorted(analysis(each.content).names - set(declared) - reported):
            reported.add(name)
            near = nearest(name, declared)
            message = f"The variable {name!r} is used and not declared.{did_you_mean(near)}"
            at = f"/messages/{number}/content"
            if near is not None:
                fix = f"Write {near}, or declare {name} in variables."
                yield Finding(code="undeclared_variable", pointer=at, message=message, fix=fix)
                continue
            # Patches are applied in their order: the first makes the list where there is none.
            path, value = ("/variables/-", {"name": name}) if has_list else ("/variables", [{"name": name}])
            has_list = True
            patch = PatchOperation(op="add", path=path, value=value)
            yield Finding(code="undeclared_variable", pointer=at, message=message, patch=(patch,))
    for included, partial in parts.partials.items():
        for variable in partial.variables:
            if variable.required and variable.name not in {*declared, *assigned, *reported}:
                reported.add(variable.name)
                yield Finding(
                    code="undeclared_variable",
                    pointer="/messages",
                    message=f"The partial {included!r} needs the variable {variable.name!r}, not declared here.",
                    fix=f"Declare {variable.name} in variables, or set it in front of the include.",
                )


def _unused(parts: Parts) -> Iterator[Finding]:
    used = {name for source in parts.sources for name in analysis(source).names}
    for number, each in enumerate(parts.template.variables):
        if each.name not in used:
            yield Finding(
                code="unused_variable",
                severity="warning",
                pointer=f"/variables/{number}",
                message=f"The variable {each.name!r} is declared and not used.",
                patch=(PatchOperation(op="remove", path=f"/variables/{number}"),),
            )


def _outside_in_system(parts: Parts) -> Iterator[Finding]:
    marked = tuple((name, name) for name in sorted(parts.outside()))
    if not marked:
        return
    reached = reached_by(parts.sources, marked)
    for number, each in enumerate(parts.template.messages):
        shown = sorted(shown_of(each.content, reached)) if each.role == "system" else []
        if shown:
            yield Finding(
                code="outside_in_system",
                severity="warning",
                pointer=f"/messages/{number}/content",
                message=f"A system message shows {', '.join(shown)}, which comes from outside.",
                fix="Move it to a user message: models obey system messages most.",
            )
