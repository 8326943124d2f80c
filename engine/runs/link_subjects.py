"""What a resume link answers: the question of one item, or the question that comes next behind a node."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from workflow.executions import EffectKey


class QuestionOf(NamedTuple):
    """The question of the item with this key that follows its suspension at ``after``, or its first one."""

    key: EffectKey
    after: datetime | None


class NextQuestion(NamedTuple):
    """The first question that ``node``, or what lies behind it, asks when the execution has suspended ``suspended``
    times: a link that is made before anything is asked can name no more."""

    node: str
    suspended: int


LinkSubject = QuestionOf | NextQuestion
