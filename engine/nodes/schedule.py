"""The trigger that the clock starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from engine.node_api.node_type import TriggerNode
from engine.node_api.parameters import Parameters, template_leaves
from workflow.definitions.catalogue import ParameterProblem
from workflow.definitions.definition import known_timezone
from workflow.schedules.accounting import SchedulePolicy
from workflow.schedules.times import CronRule, IntervalRule, ScheduleTimes, dates_of, interval_of, rules_of_times

MOST_RULES = 50


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[Annotated[str, Field(max_length=200)]], BeforeValidator(_as_list), Field(max_length=MOST_RULES)]
"""Several texts; one alone may be written without the list."""


class ScheduleParameters(Parameters):
    """When it fires: cron, every, or at (with on); several together fire at each of their times."""

    cron: Texts = Field(
        default=[], description='Cron expressions: "30 8 * * mon-fri". Five fields, or six with seconds in front.'
    )
    every: str | None = Field(
        default=None, max_length=50, description='"15 minutes", "2 hours", "90s": elapsed time, the clock set or not.'
    )
    at: Texts = Field(default=[], description='Times of the day: ["08:30", "17:00"].')
    on: Texts = Field(
        default=[],
        description='With at, the days: "mon", "mon-fri", "weekends", days of the month "1" to "31", "last".',
    )
    timezone: str | None = Field(default=None, description="IANA name; default: the workflow's time zone.")
    starting: datetime | None = Field(
        default=None, description="ISO 8601; it does not fire before. every counts on from it."
    )
    ending: datetime | None = Field(default=None, description="ISO 8601; it does not fire then or later.")
    exclude: Texts = Field(default=[], description='Dates without a run: "2026-12-25", "2026-12-24/2027-01-01".')
    overlap: Literal["skip", "allow", "queue", "cancel"] = Field(
        default="skip",
        description="If the run before goes on: skip this one, start it all the same, start it afterwards (one at "
        "most), or cancel the run before.",
    )
    catch_up_seconds: float = Field(
        default=600, ge=0, le=31_622_400, description="How late a run may start, after a time without a server."
    )
    catch_up_most: int = Field(
        default=1, ge=0, le=100, description="How many late runs start at most, the latest; the others are missed."
    )
    jitter_seconds: float = Field(default=0, ge=0, le=3_600, description="Each run starts up to so much later.")
    pause_after_failures: int | None = Field(
        default=None, ge=1, le=10, description="Pause after so many failed runs in a row."
    )
    input: dict[str, Any] = Field(default={}, description="Members of every run's item.")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        return None if name is None else known_timezone(name)

    @field_validator("cron")
    @classmethod
    def _are_cron(cls, expressions: list[str]) -> list[str]:
        for expression in expressions:
            CronRule(expression)
        return expressions

    @field_validator("every")
    @classmethod
    def _is_interval(cls, text: str | None) -> str | None:
        if text is not None:
            interval_of(text)
        return text

    @field_validator("at", "on")
    @classmethod
    def _are_times(cls, texts: list[str], info: ValidationInfo) -> list[str]:
        rules_of_times(*((texts, []) if info.field_name == "at" else (["00:00"], texts)))
        return texts

    @field_validator("exclude")
    @classmethod
    def _are_dates(cls, texts: list[str]) -> list[str]:
        for text in texts:
            dates_of(text)
        return texts

    @field_validator("starting", "ending")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        """Without an offset a moment is in UTC, as everywhere."""
        return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not (self.cron or self.every or self.at):
            raise ValueError("give cron, every or at")
        if self.on and not self.at:
            raise ValueError("on goes with at")
        if self.starting is not None and self.ending is not None and self.ending <= self.starting:
            raise ValueError("it ends before it starts")
        return self

    def times(self, timezone: str) -> ScheduleTimes:
        """When it fires, in this time zone where it names none."""
        rules: list[CronRule | IntervalRule] = [CronRule(each) for each in self.cron]
        rules += rules_of_times(self.at, self.on)
        if self.every is not None:
            interval = interval_of(self.every)
            rules.append(IntervalRule(interval, self.starting) if self.starting else IntervalRule(interval))
        return ScheduleTimes(
            rules=rules,
            zone=ZoneInfo(self.timezone or timezone),
            starting=self.starting,
            ending=self.ending,
            excluded=[dates_of(each) for each in self.exclude],
        )

    @property
    def policy(self) -> SchedulePolicy:
        """What it does about runs that overlap, are late or fail."""
        return SchedulePolicy(
            overlap=self.overlap,
            catch_up=timedelta(seconds=self.catch_up_seconds),
            catch_up_most=self.catch_up_most,
            jitter=timedelta(seconds=self.jitter_seconds),
            pause_after_failures=self.pause_after_failures,
        )


class ScheduleTrigger(TriggerNode[ScheduleParameters]):
    """Starts at times: its item has slot_at (UTC), local_time, timezone and outcome, and the members of input.

    It fires once the workflow is published, and runs the published version. Each slot starts one run at most, also
    with several servers, and is accounted for: get_workflow shows when it fires next, the last slots and what was
    skipped or missed, and why. Local times that a change of clocks leaves out fire right after it; those that come
    twice fire once.
    """

    name = "schedule"
    title = "Schedule"
    group = "trigger"
    keywords = (
        "cron",
        "timer",
        "interval",
        "every",
        "daily",
        "hourly",
        "weekly",
        "monthly",
        "nightly",
        "morning",
        "recurring",
        "clock",
    )
    example = {"at": ["08:30"], "on": ["mon-fri"], "timezone": "Europe/Lisbon"}
    parameter_model = ScheduleParameters
    is_scheduled = True

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        return [
            *super().problems_of(parameters),
            *(
                ParameterProblem(
                    code="bad_parameter",
                    path=path,
                    message="A schedule fires before there is an item, so no expression can say when.",
                    fix="Write the value as it is.",
                )
                for path, _ in template_leaves(parameters)
            ),
        ]
