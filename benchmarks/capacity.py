"""How many executions so many machines carry: a model of what one costs, and a simulation held against real processes.

``python -m benchmarks.capacity [FILE]``: ``FILE`` is what :mod:`benchmarks.cluster` has written (by default the figures
that docs/operations/capacity.md speaks of). Wants simpy; half a minute. All times in here are milliseconds.

A part's CPU per execution is a line: so much for the execution, and so much for each transaction, of which executions
share the more the busier a process is. Processes have one thread, and share a machine's cores.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import simpy

from benchmarks.cluster import CONCURRENCY, EFFECT_SECONDS, SLOW_EXECUTIONS

FIGURES = Path(__file__).parent / "figures" / "cluster.json"
LOCAL_CORES = 2
LARGEST_BATCH = 500
SERVER_TRANSACTIONS, WORKER_TRANSACTIONS = 1, 2
"""Transactions of an execution that shares none: one write of the server; the worker's claim, and its write."""

QUEUE_SHARE = 0.25
"""The share of the broker's CPU of a quorum queue's own process: by its reductions under load, with RabbitMQ 3.10."""

Steps = Generator[simpy.Event, Any, None]


@dataclass(slots=True, frozen=True)
class Line:
    """CPU of one part: for each execution, and for each transaction."""

    execution: float
    transaction: float

    def at(self, transactions: float) -> float:
        """CPU per execution at so many transactions per execution."""
        return self.execution + self.transaction * transactions


@dataclass(slots=True, frozen=True, kw_only=True)
class Costs:
    """What one execution takes of each part. ``commit`` is how long a transaction waits for the disk."""

    server: Line
    worker: Line
    database: Line
    broker: float
    redis: float
    target: float = 0.0
    effects: int = 0
    commit: float

    @classmethod
    def fitted(cls, figures: Mapping[str, Any]) -> Self:
        """From loads with few and with many callers at once."""
        shared = figures["shared"]
        transactions = [cost["transactions"] for cost in shared]

        def line(part: str, own: float) -> Line:
            """``own`` is the part's share of the transactions."""
            fit = statistics.linear_regression(transactions, [cost["cpu_ms"][part] for cost in shared])
            return Line(fit.intercept, fit.slope / own)

        all_of_them = SERVER_TRANSACTIONS + WORKER_TRANSACTIONS
        busiest = shared[-1]["cpu_ms"]
        return cls(
            server=line("server", SERVER_TRANSACTIONS / all_of_them),
            worker=line("worker", WORKER_TRANSACTIONS / all_of_them),
            database=line("postgres", 1),
            broker=busiest["beam.smp"],
            redis=busiest["redis-server"],
            commit=figures["commit_ms"],
        )

    def of_drain(self, cost: Mapping[str, Any], *, effects: int) -> Costs:
        """The same for executions that only workers have to do with, from what each took, its transactions included."""
        cpu = cost["cpu_ms"]
        return Costs(
            server=self.server,
            worker=Line(cpu["worker"], 0.0),
            database=Line(cpu["postgres"], 0.0),
            broker=cpu["beam.smp"],
            redis=cpu["redis-server"],
            target=cpu["target"] if effects else 0.0,
            effects=effects,
            commit=self.commit,
        )


class Machine:
    """Cores that processes share."""

    def __init__(self, env: simpy.Environment, cores: int) -> None:
        self.env = env
        self.cores = cores
        self.used = 0.0
        self._resource = simpy.Resource(env, cores)

    def busy(self, time: float) -> Steps:
        """Use a core for so long, when one is free."""
        with self._resource.request() as turn:
            yield turn
            yield self.env.timeout(time)
        self.used += time


class Process:
    """One thread on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.used = 0.0
        self._machine = machine
        self._thread = simpy.Resource(machine.env, 1)

    def busy(self, time: float) -> Steps:
        """Compute for so long."""
        with self._thread.request() as turn:
            yield turn
            yield from self._machine.busy(time)
        self.used += time


class Transactions:
    """One after the other, of one process: what comes while one is under way goes with the next."""

    def __init__(self, process: Process, database: Machine, costs: Costs, own: Line) -> None:
        self._process = process
        self._database = database
        self._costs = costs
        self._own = own.transaction
        self._waiting: list[simpy.Event] = []
        self._is_at_work = False

    def join(self) -> simpy.Event:
        """What happens when it is on the disk."""
        env = self._database.env
        done = env.event()
        self._waiting.append(done)
        if not self._is_at_work:
            self._is_at_work = True
            env.process(self._run())
        return done

    def _run(self) -> Steps:
        while self._waiting:
            yield from self._process.busy(self._own)
            # Those that came until the thread had its turn go along.
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            yield from self._database.busy(self._costs.database.transaction)
            yield self._database.env.timeout(self._costs.commit)
            for done in batch:
                done.succeed()
        self._is_at_work = False


@dataclass(slots=True, kw_only=True)
class Site:
    """The machines that everything meets on; on one machine they are all the same."""

    database: Machine
    broker: Machine
    queues: Sequence[Process]
    redis: Machine
    target: Process
    costs: Costs
    _turn: Iterator[Process] = field(init=False)

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.queues)

    def carry(self, share: float) -> Steps:
        """A share of what the broker does for one execution."""
        time = self.costs.broker * share
        yield from next(self._turn).busy(time * QUEUE_SHARE)
        yield from self.broker.busy(time * (1 - QUEUE_SHARE))

    def execute(self, worker: Process, takes: Transactions, writes: Transactions) -> Steps:
        """What a worker does for one execution."""
        costs, share = self.costs, self.costs.worker.execution / (3 + self.costs.effects)
        yield from self.carry(1 / 4)
        yield from worker.busy(share)
        yield takes.join()
        yield from worker.busy(share)
        for _ in range(costs.effects):
            yield writes.join()
            yield from worker.busy(share)
            yield from self.target.busy(costs.target)
            yield self.database.env.timeout(EFFECT_SECONDS * 1000)
        yield from self.database.busy(costs.database.execution)
        yield writes.join()
        yield from self.redis.busy(costs.redis)
        yield from worker.busy(share)
        yield from self.carry(1 / 4)


def drained(costs: Costs, *, workers: int, count: int) -> float:
    """Executions a second that so many workers on one machine run, of so many that wait for them."""
    env = simpy.Environment()
    machine = Machine(env, LOCAL_CORES)
    site = Site(
        database=machine,
        broker=machine,
        queues=[Process(machine)],
        redis=machine,
        target=Process(machine),
        costs=costs,
    )
    left = iter(range(count))

    def slot(worker: Process, takes: Transactions, writes: Transactions) -> Steps:
        for _ in left:
            yield from site.execute(worker, takes, writes)

    for _ in range(workers):
        worker = Process(machine)
        takes, writes = (Transactions(worker, machine, costs, costs.worker) for _ in range(2))
        for _ in range(CONCURRENCY):
            env.process(slot(worker, takes, writes))
    env.run()
    return count / float(env.now) * 1000


@dataclass(slots=True, frozen=True, kw_only=True)
class Estate:
    """Machines: nodes that run a server and a worker each, and what the three services have."""

    nodes: int
    node_cores: int = 2
    database_cores: int = 16
    broker_cores: int = 8
    queues: int = 1
    """Most executions are in one queue, which is one process of the broker's: more take more installations."""
    redis_cores: int = 1
    callers: int = 60
    """For each node, of whom each waits for the end of what they have handed in."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Carried:
    """What comes of it: executions a second, and how busy each part is, of 1."""

    rate: float
    busy: Mapping[str, float]


def carried(costs: Costs, estate: Estate, *, seconds: float) -> Carried:
    """Simulate for so long, after as long a start that does not count."""
    env = simpy.Environment()
    database, broker = Machine(env, estate.database_cores), Machine(env, estate.broker_cores)
    redis = Machine(env, estate.redis_cores)
    nodes = [Machine(env, estate.node_cores) for _ in range(estate.nodes)]
    queues = [Process(broker) for _ in range(estate.queues)]
    site = Site(database=database, broker=broker, queues=queues, redis=redis, target=Process(redis), costs=costs)
    jobs, ended = simpy.Store(env), [0]

    def caller(server: Process, writes: Transactions) -> Steps:
        while True:
            yield from server.busy(costs.server.execution)
            yield writes.join()
            yield from site.carry(1 / 2)
            job = env.event()
            yield jobs.put(job)
            yield job
            ended[0] += 1

    def slot(worker: Process, takes: Transactions, writes: Transactions) -> Steps:
        while True:
            job = yield jobs.get()
            yield from site.execute(worker, takes, writes)
            job.succeed()

    for machine in nodes:
        server, worker = Process(machine), Process(machine)
        accepted = Transactions(server, database, costs, costs.server)
        takes, writes = (Transactions(worker, database, costs, costs.worker) for _ in range(2))
        for _ in range(estate.callers):
            env.process(caller(server, accepted))
            env.process(slot(worker, takes, writes))
    parts: Mapping[str, tuple[Sequence[Machine | Process], int]] = {
        "nodes": (nodes, estate.nodes * estate.node_cores),
        "PostgreSQL": ([database], estate.database_cores),
        "RabbitMQ": ([broker], estate.broker_cores),
        "queues": (queues, estate.queues),
        "Redis": ([redis], estate.redis_cores),
    }

    def used() -> Mapping[str, float]:
        return {name: sum(each.used for each in members) / cores for name, (members, cores) in parts.items()}

    env.run(until=seconds * 1000)
    before, at_start = ended[0], used()
    env.run(until=2 * seconds * 1000)
    busy = {name: (time - at_start[name]) / (seconds * 1000) for name, time in used().items()}
    return Carried(rate=(ended[0] - before) / seconds, busy=busy)


ESTATES = (
    Estate(nodes=1),
    Estate(nodes=10),
    Estate(nodes=100),
    Estate(nodes=100, database_cores=64, broker_cores=32, queues=8),
)
SIMULATED_SECONDS = 1.5
DAY_SECONDS, BILLION = 86_400, 1_000_000_000
PEAK = 3.0
"""The busiest hour of a day beside its mean."""
UTILISATION = 0.6
"""How busy a part may be in the long run."""


def print_checks(costs: Costs, drains: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The simulation beside what real processes did on one machine, with what each execution took of them there."""
    print(f"one machine of {LOCAL_CORES} cores, executions/s      measured   simulated   simulated / measured")
    for name, effects in (("waiting", 1), ("busy", 0)):
        for drain in drains[name]:
            local = costs.of_drain(drain["cost"], effects=effects)
            rate = drained(local, workers=drain["workers"], count=SLOW_EXECUTIONS)
            workers, measured = drain["workers"], drain["rate"]
            print(f"  {name:8} {workers} workers            {measured:10.0f}  {rate:10.0f}   {rate / measured:8.2f}")


def print_lines(costs: Costs) -> None:
    """The model."""
    print("CPU ms         per execution   per transaction")
    for name, line in (("server", costs.server), ("worker", costs.worker), ("PostgreSQL", costs.database)):
        print(f"  {name:10} {line.execution:12.2f} {line.transaction:16.2f}")
    print(f"  RabbitMQ   {costs.broker:12.2f}\n  Redis      {costs.redis:12.2f}")


def print_estates(costs: Costs) -> None:
    """What so many nodes carry, and how busy each part is then."""
    for estate in ESTATES:
        found = carried(costs, estate, seconds=SIMULATED_SECONDS)
        busy = "  ".join(f"{name} {value:.0%}" for name, value in found.busy.items())
        print(
            f"{estate.nodes:4} nodes, {estate.database_cores} cores for PostgreSQL, {estate.broker_cores} for RabbitMQ,"
            f" queues {estate.queues}: {found.rate:8,.0f}/s, {found.rate * DAY_SECONDS / 1e6:,.0f} million a day"
            f"\n     {busy}"
        )


def print_billion(costs: Costs, busiest: Mapping[str, Any]) -> None:
    """What a billion executions a day would take of each part."""
    peak = BILLION / DAY_SECONDS * PEAK
    transactions = busiest["transactions"]
    parts = {
        "servers": costs.server.at(transactions),
        "workers": costs.worker.at(transactions),
        "PostgreSQL": costs.database.at(transactions),
        "RabbitMQ": costs.broker,
        "Redis": costs.redis,
    }
    print(f"a billion a day: {peak:,.0f}/s at the peak; cores that are {UTILISATION:.0%} busy then")
    for name, each in parts.items():
        print(f"  {name:10} {peak * each / 1000 / UTILISATION:8,.0f}")
    print(f"  write-ahead log  {peak * busiest['wal_bytes'] / 1e6:8,.0f} MB/s at the peak")
    print(f"  disk             {BILLION * busiest['disk_bytes'] / 1e12:8.1f} TB a day")
    print(f"  transactions     {peak * transactions:8,.0f}/s at the peak")


def main() -> None:
    """Print all of it."""
    figures = json.loads(Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else FIGURES.read_text())
    costs = Costs.fitted(figures)
    print_lines(costs)
    print_checks(costs, figures["drains"])
    print_estates(costs)
    print_billion(costs, figures["shared"][-1])


if __name__ == "__main__":
    main()
