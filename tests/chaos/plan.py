"""What a seeded run does: jobs over databases, and the mischief that befalls them. Pure: a seed draws every choice."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local.stack import TARGET_SERVER
from tests.chaos.control import AFTER_A_LOSS, KILL_POINTS, MESSAGE_TRICKS

SECOND_SERVER = "secondserver.database.windows.net"
POOLS = ("blue", "green")
LEASE_SECONDS = 4
WORKERS = 3
TARGETS = (10, 120)
"""Fewest and most target executions that a run plans (skipped ones included)."""
MISCHIEF_SECONDS = 3.0
"""Within this time after the first start all mischief begins; some of it lasts longer."""
TIMEOUT_SECONDS, LONG_TIMEOUT_SECONDS = 3, 10
"""Of steps with scripts that are to time out, and of all others: a target that has gone silent ends them too."""
RUSH = "rush"
OVERLONG = "00:00:20"
"""What scripts that are to time out wait for."""


@dataclass(frozen=True, kw_only=True)
class Database:
    server: str
    name: str
    pool: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.server, self.name


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """One step. ``marker`` stands in its script's text; thrower and overlong are databases on which it goes wrong."""

    marker: str
    members: tuple[dict[str, str], ...]
    databases: tuple[Database, ...]
    parts: int
    wait_milliseconds: int
    slow: frozenset[str]
    throwers: frozenset[str]
    overlong: frozenset[str]
    retries: int
    max_parallelism: int | None

    @property
    def timeout_seconds(self) -> int:
        return TIMEOUT_SECONDS if self.overlong else LONG_TIMEOUT_SECONDS

    @property
    def script(self) -> str:
        """One or two batches; each says who it is, the last one leaves the mark that the whole script was done."""
        mark = f"INSERT dbo.Effect VALUES (@run, '{self.marker}',"
        head = (
            f"{self._title(1)}IF OBJECT_ID('dbo.Effect') IS NULL"
            " CREATE TABLE dbo.Effect (run uniqueidentifier, step varchar(40), phase varchar(5));\n"
            f"{mark} 'begin');\n"
        )
        if self.throwers:
            head += f"IF DB_NAME() IN ({_names(self.throwers)}) THROW 50001, 'As planned.', 1;\n"
        if self.parts > 1:
            head += f"GO\n{self._title(2)}"
        return head + self._waiting() + f"{mark} 'end');"

    def _title(self, part: int) -> str:
        return f"-- {self.marker} part {part} of {self.parts}\nDECLARE @run uniqueidentifier = '$(job_execution_id)';\n"

    def _waiting(self) -> str:
        wait = f"WAITFOR DELAY '00:00:00.{self.wait_milliseconds:03}';\n"
        for names, delay in ((self.slow, "00:00:01.500"), (self.overlong, OVERLONG)):
            if names:
                wait = f"IF DB_NAME() IN ({_names(names)}) WAITFOR DELAY '{delay}';\nELSE\nBEGIN\n{wait}END\n"
        return wait


def _names(names: frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    name: str
    steps: tuple[StepPlan, ...]


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something to do ``at`` seconds after the start of the run."""

    at: float
    kind: str
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        rule = self.details.get("rule")
        if rule is not None:
            words = [rule["kind"], rule["at"], rule.get("number", ""), f"x{rule['count']}"]
        else:
            words = [value for name, value in self.details.items() if name not in {"run", "job", "first", "worker"}]
        return " ".join([self.kind, *(str(word) for word in words if word != "")])


@dataclass(frozen=True, kw_only=True)
class Plan:
    seed: int
    prefix: str
    capacity: int
    rush: bool
    """Whether all jobs start at the same instant."""
    databases: tuple[Database, ...]
    jobs: tuple[JobPlan, ...]
    runs: dict[uuid.UUID, str]
    """Execution ids, chosen beforehand, and the job of each."""
    actions: tuple[Action, ...]

    @property
    def mischief(self) -> list[Action]:
        return [action for action in self.actions if action.kind != "start"]


def make_plan(seed: int, *, prefix: str | None = None, emphasis: Sequence[str] = ()) -> Plan:
    """Draw a run. emphasis: kinds of mischief that must be part of it, beside what is drawn."""
    rng = random.Random(seed)  # noqa: S311  reproducible on purpose
    prefix = prefix or f"s{seed}"
    databases = _databases(rng, prefix)
    jobs = _jobs(rng, prefix, databases)
    rush = rng.random() < 0.25 or RUSH in emphasis
    runs: dict[uuid.UUID, str] = {}
    actions: list[Action] = []
    for job in jobs:
        at = 0.0 if rush else round(rng.uniform(0, 0.6), 2)
        for repeat in range(1 + (rng.random() < 0.3)):
            run = uuid.UUID(int=rng.getrandbits(128), version=4)
            runs[run] = job.name
            at += repeat * round(rng.uniform(0, 1.2), 2)
            actions.append(Action(at=at, kind="start", details={"job": job.name, "run": run}))
    actions += _mischief(rng, prefix, list(runs), [kind for kind in emphasis if kind != RUSH])
    return Plan(
        seed=seed,
        prefix=prefix,
        capacity=rng.choice((4, 10, 25, 100)),
        rush=rush,
        databases=databases,
        jobs=jobs,
        runs=runs,
        actions=tuple(sorted(actions, key=lambda action: action.at)),
    )


def _databases(rng: random.Random, prefix: str) -> tuple[Database, ...]:
    counts = {
        (TARGET_SERVER, None): rng.randint(2, 12),
        (TARGET_SERVER, POOLS[0]): rng.randint(3, 12),
        (TARGET_SERVER, POOLS[1]): rng.choice((0, rng.randint(2, 8))),
        (SECOND_SERVER, None): rng.randint(2, 12),
    }
    return tuple(
        Database(server=server, name=f"{prefix}_{pool or server[0]}{number}", pool=pool)
        for (server, pool), count in counts.items()
        for number in range(count)
    )


def _jobs(rng: random.Random, prefix: str, databases: tuple[Database, ...]) -> tuple[JobPlan, ...]:
    least, most = TARGETS
    jobs: list[JobPlan] = []
    planned = 0
    for number in range(1, rng.randint(1, 3) + 1):
        steps: list[StepPlan] = []
        for step in range(1, rng.randint(1, 2) + 1):
            drawn = _step(rng, f"{prefix}j{number}s{step}", databases)
            if planned and planned + len(drawn.databases) > most:
                break
            planned += len(drawn.databases)
            steps.append(drawn)
        if steps:
            jobs.append(JobPlan(name=f"{prefix}j{number}", steps=tuple(steps)))
    if planned < least:
        drawn = _step(rng, f"{prefix}j9s1", databases, everything=True)
        jobs.append(JobPlan(name=f"{prefix}j9", steps=(drawn,)))
    return tuple(jobs)


def _step(rng: random.Random, marker: str, databases: tuple[Database, ...], *, everything: bool = False) -> StepPlan:
    members, chosen = _group(rng, databases, everything)
    names = [database.name for database in chosen]
    return StepPlan(
        marker=marker,
        members=members,
        databases=chosen,
        parts=rng.choice((1, 1, 2)),
        wait_milliseconds=rng.choice((0, 50, 200, 500, 900)),
        slow=_some(rng, names, 0.3, 3),
        throwers=_some(rng, names, 0.3, 3),
        overlong=_some(rng, names, 0.12, 2),
        retries=rng.randint(0, 3),
        max_parallelism=rng.choice((None, 1, 2, 4)),
    )


def _group(
    rng: random.Random, databases: tuple[Database, ...], everything: bool
) -> tuple[tuple[dict[str, str], ...], tuple[Database, ...]]:
    """Members of a target group and what must come of them."""
    server: dict[str, str] = {"type": "SqlServer", "serverName": TARGET_SERVER}
    second = {"type": "SqlServer", "serverName": SECOND_SERVER}
    pool = {"type": "SqlElasticPool", "serverName": TARGET_SERVER, "elasticPoolName": POOLS[0]}
    kind = "all" if everything else rng.choice(("all", "server", "second", "pool", "single", "pool and single"))
    if kind == "all":
        return (server, second), databases
    if kind == "server":
        return (server,), tuple(database for database in databases if database.server == TARGET_SERVER)
    if kind == "second":
        return (second,), tuple(database for database in databases if database.server == SECOND_SERVER)
    of_pool = tuple(database for database in databases if database.pool == POOLS[0])
    if kind == "pool":
        return (pool,), of_pool
    free = [database for database in databases if database.pool is None]
    singles = tuple(rng.sample(free, rng.randint(1, len(free))))
    members = tuple(
        {"type": "SqlDatabase", "serverName": database.server, "databaseName": database.name} for database in singles
    )
    return (members, singles) if kind == "single" else ((pool, *members), (*of_pool, *singles))


def _some(rng: random.Random, names: list[str], probability: float, most: int) -> frozenset[str]:
    if rng.random() >= probability:
        return frozenset()
    return frozenset(rng.sample(names, min(len(names), rng.randint(1, most))))


_WEIGHTS = {
    "kill": 3,
    "point": 7,
    "message": 4,
    "forge": 2,
    "fault": 6,
    "cancel": 2,
    "lock": 2,
    "cut": 1,
    "answer lost": 2,
    "freeze": 2,
    "azurite": 1,
}


def _mischief(rng: random.Random, prefix: str, runs: list[uuid.UUID], emphasis: Sequence[str]) -> list[Action]:
    kinds = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=rng.randint(2, 6)) + list(emphasis)
    actions: list[Action] = []
    for kind in kinds:
        if kind in {"freeze", "azurite", "lock", "cut"} and any(action.kind == kind for action in actions):
            continue  # each of these lasts; one at a time says enough
        details = _details(rng, kind, prefix, runs)
        # Orders lie in wait, so they are given early; in_expire waits for the claims of a worker that died before.
        at = round(rng.uniform(0, 0.5) if kind in {"point", "message"} else rng.uniform(0.05, MISCHIEF_SECONDS), 2)
        actions.append(Action(at=at, kind=kind, details=details))
        if details.get("point") in AFTER_A_LOSS:
            loss = {"point": "during_script", "skip": 0, "seconds": 0.1}
            actions.append(Action(at=at, kind="point", details=loss))
    return actions


def _details(rng: random.Random, kind: str, prefix: str, runs: list[uuid.UUID]) -> dict[str, Any]:
    if kind == "kill":
        return {"workers": rng.choice((1, 1, 2, WORKERS)), "first": rng.randrange(WORKERS)}
    if kind == "point":
        point = rng.choice(KILL_POINTS)
        skip = 0 if point in AFTER_A_LOSS else rng.choice((0, 0, 0, 1, 4))
        return {"point": point, "skip": skip, "seconds": round(rng.uniform(0, 0.4), 2)}
    if kind == "message":
        return {"trick": rng.choice(MESSAGE_TRICKS), "count": rng.choice((1, 3, 10)), "seconds": rng.randint(1, 4)}
    if kind == "forge":
        return {"what": rng.choice(("garbage", "unknown ids", "known ids"))}
    if kind == "cancel":
        return {"run": rng.choice(runs)}
    if kind == "lock":
        return {"seconds": round(rng.uniform(0.5, LEASE_SECONDS + 1), 1)}
    if kind == "cut":
        return {"seconds": round(rng.uniform(0.3, LEASE_SECONDS), 1)}
    if kind == "answer lost":
        return {"skip": rng.randrange(40)}
    if kind == "freeze":
        seconds = rng.choice((1.0, LEASE_SECONDS + 1.5, LEASE_SECONDS + 2.5))
        return {"worker": rng.randrange(WORKERS), "seconds": seconds}
    if kind == "azurite":
        return {"seconds": round(rng.uniform(0, 1.5), 1)}
    return {"rule": _fault(rng, prefix)}


def _fault(rng: random.Random, prefix: str) -> dict[str, Any]:
    """A rule for the emulator, on the databases of this run."""
    where = {"database": f"{prefix}_*", "count": rng.choice((1, 2, 5)), "skip": rng.choice((0, 0, 3, 10))}
    of_script = {**where, "text": f"-- {prefix}j"}
    return rng.choice(
        (
            {"kind": "drop", "at": "before", "reset": rng.random() < 0.5, **of_script},
            {"kind": "drop", "at": "during", "seconds": 0.05, **of_script},
            {"kind": "drop", "at": "after", **of_script},
            {"kind": "drop", "at": "login", **where},
            {"kind": "error", "at": "login", "number": 40501, **where},
            {"kind": "error", "at": "before", "number": 40501, **of_script},
            {"kind": "error", "at": "before", "number": 10928, **of_script},
            {"kind": "error", "at": "login", "number": 10928, **where},
            {"kind": "error", "at": "login", "number": 40613, **where, "database": "master"},
            {"kind": "pause", "at": "login", **where, "seconds": rng.choice((0.5, 3.0))},
            {"kind": "slow", "at": "before", **of_script, "seconds": 2.0},
            {"kind": "slow", "at": "after", **of_script, "seconds": TIMEOUT_SECONDS + 1.0},
            {"kind": "stall", "at": "before", **of_script, "count": 1},
            {"kind": "stall", "at": "after", **of_script, "count": 1},
        )
    )
