"""Signed addresses through which somebody outside answers one question of a waiting execution.

A link names its question: the node, the run, the item, and which of the item's suspensions it is. One that is made
before anything is asked (``$execution.resumeUrl``) names the question that its node, or what lies behind it, asks next.
So no link ever answers another question than the one it was made for, and each is good for one answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from engine.runs.link_subjects import LinkSubject, NextQuestion, QuestionOf
from workflow.executions import EffectKey, EffectResult, Record, Resumption, Suspension, SuspensionKind
from workflow.redaction import RESUME_TOKEN

ASKED_FROM_OUTSIDE: Sequence[SuspensionKind] = ("call", "approval")
"""What links answer."""

_SIGNATURE_LENGTH = 43
"""Characters of SHA-256 in base64 without padding."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class FormerSubject(NamedTuple):
    """A link that named its execution alone, as links did before; the suspension that it was made for keeps it."""

    token: str


class Meant(NamedTuple):
    """What a link is for: ``asked`` is its question, ``exact`` names that alone, ``ended`` is what ended the wait.

    Where it could be one of ``several`` questions, or of none yet, ``asked`` is ``None``.
    """

    several: int
    asked: Suspension | None = None
    exact: QuestionOf | None = None
    ended: Record | None = None


class ResumeLinks:
    """Makes and checks them. Everybody who has the link may answer; without the secret nobody can make one."""

    def __init__(self, *, base_url: str, secret: bytes) -> None:
        self._base_url = base_url
        self._secret = secret

    def url(self, execution_id: str, subject: LinkSubject) -> str:
        """Where to answer this question of the execution."""
        return f"{self._base_url}/resume/{execution_id}?token={self.token(execution_id, subject)}"

    def token(self, execution_id: str, subject: LinkSubject) -> str:
        """What the link has as its proof. The signature comes first: the start of a token is recognised and hidden."""
        written = _encoded(json.dumps(_to_json(subject), ensure_ascii=False, separators=(",", ":")).encode())
        return f"{RESUME_TOKEN}{self._signature(execution_id, written)}{written}"

    def subject(self, execution_id: str, token: str) -> LinkSubject | FormerSubject | None:
        """What the token's link is to answer; ``None`` where this server did not make it for the execution."""
        if not token.startswith(RESUME_TOKEN):
            former = hmac.new(self._secret, f"resume:{execution_id}".encode(), hashlib.sha256).hexdigest()
            return FormerSubject(token) if hmac.compare_digest(former.encode(), _bytes(token)) else None
        body = token.removeprefix(RESUME_TOKEN)
        signature, written = body[:_SIGNATURE_LENGTH], body[_SIGNATURE_LENGTH:]
        if not hmac.compare_digest(self._signature(execution_id, written).encode(), _bytes(signature)):
            return None
        return _from_json(json.loads(_decoded(written)))

    def _signature(self, execution_id: str, written: str) -> str:
        signed = b"resume:" + _bytes(execution_id) + b":" + _bytes(written)
        return _encoded(hmac.new(self._secret, signed, hashlib.sha256).digest())


def meant_by(
    subject: LinkSubject | FormerSubject, records: Sequence[Record], behind: Collection[str], *, node: str | None = None
) -> Meant:
    """The question that a link is for, by the journal. ``behind`` are the nodes behind that of a :class:`NextQuestion`,
    itself included; ``node`` says which of them is meant where several ask at once."""
    if isinstance(subject, QuestionOf):
        found = _question_of(subject, records)
    elif isinstance(subject, NextQuestion):
        found = _next_questions(subject, records, behind)
    else:
        found = [each for each in _asked(records) if str(each.details.get("resume_url", "")).endswith(subject.token)]
    found = [each for each in found if node in (None, each.key.node)]
    if len(found) != 1:
        return Meant(len(found))
    (asked,) = found
    return Meant(1, asked, _exact(asked, records), _end_of(asked, records))


def _exact(asked: Suspension, records: Iterable[Record]) -> QuestionOf:
    before: datetime | None = None
    for record in records:
        if record is asked:
            break
        if isinstance(record, Suspension) and record.key == asked.key:
            before = record.at
    return QuestionOf(asked.key, before)


def _question_of(subject: QuestionOf, records: Iterable[Record]) -> list[Suspension]:
    before: datetime | None = None
    for record in records:
        if isinstance(record, Suspension) and record.key == subject.key:
            if before == subject.after:
                return [record] if record.kind in ASKED_FROM_OUTSIDE else []
            before = record.at
    return []


def _next_questions(subject: NextQuestion, records: Iterable[Record], behind: Collection[str]) -> list[Suspension]:
    """What was asked first behind the node. What is asked after the first answer is another round."""
    count = 0
    found: dict[EffectKey, Suspension] = {}
    for record in records:
        if isinstance(record, Suspension):
            count += 1
            if count > subject.suspended and record.key.node in behind and record.kind in ASKED_FROM_OUTSIDE:
                found.setdefault(record.key, record)
        elif isinstance(record, Resumption) and record.key in found:
            break
    return list(found.values())


def _asked(records: Iterable[Record]) -> Iterable[Suspension]:
    return (each for each in records if isinstance(each, Suspension) and each.kind in ASKED_FROM_OUTSIDE)


def _end_of(asked: Suspension, records: Sequence[Record]) -> Record | None:
    """What ended the wait: the next record of the same item that says that it goes on."""
    is_past = False
    for record in records:
        if record is asked:
            is_past = True
        elif is_past and isinstance(record, Resumption | EffectResult | Suspension) and record.key == asked.key:
            return record
    return None


def _to_json(subject: LinkSubject) -> list[Any]:
    if isinstance(subject, QuestionOf):
        after = None if subject.after is None else (subject.after - _EPOCH) // _MICROSECOND
        return [*subject.key, after]
    return list(subject)


def _from_json(written: list[Any]) -> LinkSubject:
    if len(written) == len(NextQuestion._fields):
        return NextQuestion(*written)
    node, run_index, item_index, after = written
    at = None if after is None else _EPOCH + after * _MICROSECOND
    return QuestionOf(EffectKey(node, run_index, item_index), at)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:  # the signature says that we wrote it
        raise ValueError("a signed token cannot be read") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
