"""``jobsprint doctor``: checks everything that the settings name, changes nothing, and says what is wrong."""

from __future__ import annotations

import shlex
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.settings.settings import Settings
from storage.database.database import Database
from storage.database.facts import facts_of
from storage.migrations.runner import newest_revision
from storage.private_files import is_open_to_others, open_to_others
from storage.queue.topology import Topology
from workflow.errors import JobsprintError

SLOW_SECONDS = 0.05
"""A slower answer means a service that is too far away: every execution makes several requests to it."""
MOST_SKEW_SECONDS = 2.0
"""Each process sets timers by its own clock; leases go by the database's."""

Verdict = Literal["well", "look", "wrong"]


@dataclass(slots=True, frozen=True)
class Symptom:
    """What was checked, the verdict, and what to do about it."""

    verdict: Verdict
    subject: str
    said: str

    def __str__(self) -> str:
        return f"{self.verdict:5}  {self.subject:9}  {self.said}"


async def examined(settings: Settings) -> AsyncIterator[Symptom]:
    """Everything that the settings name, part by part."""
    for part in (_database, _folder, _broker, _redis, _secrets):
        try:
            async for finding in part(settings):
                yield finding
        except JobsprintError as error:
            name = part.__name__.removeprefix("_")
            yield Symptom("wrong", name, f"{error.message}{f' {error.fix}' if error.fix else ''}")


async def _database(settings: Settings) -> AsyncIterator[Symptom]:
    subject = "database"
    if settings.database_url is None and not (settings.data_dir / "jobsprint.db").exists():
        yield Symptom("well", subject, f"There is none yet: the first start makes it in {settings.data_dir}.")
        return
    async with Database(settings.effective_database_url) as database:
        began = time.perf_counter()
        await database.ping()
        took = time.perf_counter() - began
        facts = await facts_of(database)
    yield Symptom(
        "look" if took > SLOW_SECONDS else "well", subject, f"{facts.version} answers in {took * 1000:.1f} ms."
    )
    newest = newest_revision()
    if facts.revision is None:
        yield Symptom("look", subject, "It is empty: the first process that starts makes the tables.")
    elif facts.revision != newest:
        text = f"Its schema is {facts.revision}, this version's is {newest}: the next process that starts migrates it."
        yield Symptom("look", subject, f"{text} Back it up before.")
    else:
        yield Symptom("well", subject, f"Its schema is the newest ({newest}).")
    if facts.skew_seconds is not None and abs(facts.skew_seconds) > MOST_SKEW_SECONDS:
        text = f"Its clock and this machine's differ by {facts.skew_seconds:.1f} s, and timers go by this machine's."
        yield Symptom("wrong", subject, f"{text} Run NTP on both.")
    if facts.connections is not None:
        fit = facts.connections // settings.database_connections
        text = (
            f"{facts.connections} connections are enough for {fit} processes of {settings.database_connections} each."
        )
        yield Symptom("look" if fit < 4 else "well", subject, text)


async def _folder(settings: Settings) -> AsyncIterator[Symptom]:
    subject = "folder"
    if not settings.data_dir.exists():
        yield Symptom("well", subject, f"There is none yet: the first start makes {settings.data_dir}.")
        return
    database = Database(settings.effective_database_url).file
    beside = [] if database is None else database.parent.glob(f"{database.name}*")
    found = list(dict.fromkeys((*open_to_others(settings.data_dir), *filter(is_open_to_others, beside))))
    if not found:
        yield Symptom("well", subject, f"Only its owner can use what is in {settings.data_dir}.")
        return
    named = ", ".join(str(path) for path in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    text = f"Other users of this machine can use what is the server's own: {named}."
    yield Symptom("wrong", subject, f"{text} Run: chmod -R go= {' '.join(_roots(settings.data_dir, found))}")


def _roots(folder: Path, found: Sequence[Path]) -> Sequence[str]:
    """What is to be closed so that everything is: the data folder, and what is not in it."""
    inside = [path for path in found if path.is_relative_to(folder)]
    return [shlex.quote(str(path)) for path in ([folder] if inside else []) + [p for p in found if p not in inside]]


async def _broker(settings: Settings) -> AsyncIterator[Symptom]:
    subject = "broker"
    if settings.broker_url is None:
        yield Symptom("well", subject, "None is set: whichever process takes an execution in runs it.")
        return
    if not settings.effective_database_url.startswith("postgres"):
        yield Symptom("wrong", subject, "A broker needs PostgreSQL: set JOBSPRINT_DATABASE_URL to postgresql://….")
    from storage.queue.rabbitmq_examination import examine

    found = await examine(settings.broker_url.get_secret_value(), Topology(settings.namespace))
    yield Symptom("well", subject, f"RabbitMQ {found.version} answers.")
    for wrong in found.wrong:
        text = "A queue of our name is made otherwise, and nothing starts until that is mended"
        yield Symptom("wrong", subject, f"{text}: {wrong} When it is empty, delete it; it is made anew.")
    if found.missing:
        text = f"{len(found.missing)} of our queues are not there yet: the first process that starts makes them."
        yield Symptom("look", subject, text)


async def _redis(settings: Settings) -> AsyncIterator[Symptom]:
    subject = "redis"
    if settings.redis_url is None:
        shares = settings.broker_url is not None
        text = "None is set" + (": processes learn of each other's work by asking the database." if shares else ".")
        yield Symptom("look" if shares else "well", subject, text)
        return
    from storage.redis.facts import redis_facts

    facts = await redis_facts(settings.redis_url.get_secret_value())
    slow = facts.answer_seconds > SLOW_SECONDS
    text = f"Redis {facts.version} answers in {facts.answer_seconds * 1000:.1f} ms."
    yield Symptom("look" if slow else "well", subject, text)
    if facts.version and int(facts.version.partition(".")[0]) < 7:
        yield Symptom("wrong", subject, "It is too old: sessions need Redis 7 or later.")
    if facts.eviction not in ("noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"):
        yield Symptom("look", subject, f"Its maxmemory-policy {facts.eviction} may end sessions early: use noeviction.")


async def _secrets(settings: Settings) -> AsyncIterator[Symptom]:
    subject = "secrets"
    if settings.effective_database_url.startswith("sqlite"):
        yield Symptom("well", subject, f"They are in {settings.data_dir}, beside the database.")
        return
    has_vault = settings.vault_keys or settings.vault_key_file or settings.vault_keyring
    for name, is_set in (("JOBSPRINT_SECRET_KEY", settings.secret_key), ("JOBSPRINT_VAULT_KEYS", has_vault)):
        if is_set:
            yield Symptom("well", subject, f"{name} is set.")
        else:
            text = (
                f"{name} is not set: each machine makes its own in its data folder, and does not understand the others."
            )
            yield Symptom("look", subject, text)
