"""What the tests of definitions as files share: random definitions, an agent to hold them, and the command itself."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import typer
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.commands import files, moving
from elastic_jobs.cli.files.applying import Applied, apply_plan
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition, key
from elastic_jobs.cli.files.plan import Plan, make_plan
from elastic_jobs.cli.files.state import read_state
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START, IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from tests.api.support import ALL_ROLES, Server, clear, http_client, running, token

CREDENTIALS = ("runner", "refresh")
ODD_NAMES = (
    *(
        "a/b",
        "a\\b",
        "...",
        ".hidden",
        "-rf",
        "~",
        "a~0123456789ab",
        "CON",
        "con.x",
        "Aux",
        "nul",
        "COM1",
        "a:b",
        "a*?",
    ),
    *(
        "yes",
        "null",
        "1",
        "1e3",
        "2026-01-01",
        "12:30",
        "#x",
        "&a",
        "*a",
        "|",
        "{a: b}",
        "- x",
        "key: value",
        "'",
        '"',
        "!",
    ),
    *(
        "Ä",
        "e\u0301",
        "é",
        "名前",
        "😀",
        "a b",
        "x\u2028y",
        "a\ufeffb",
        "<b>",
        "[red]",
        "x" * 128,
        "ä" * 128,
        "a;b`$(x)",
    ),
)


def _is_name(text: str) -> bool:
    return (
        text == text.strip() != ""
        and text not in {".", ".."}
        and len(text.encode("utf-16-le")) <= 256
        and not any(unicodedata.category(each) in {"Cc", "Cs"} for each in text)
    )


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(_is_name),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,9}", fullmatch=True),
)
_JOB_NAMES = NAMES.filter(lambda name: "%" not in name)
_SCRIPTS = st.one_of(
    _TEXT,
    st.sampled_from(
        [
            "SELECT 1",
            "SELECT 1\n",
            "SELECT 1\r\nGO\r\nSELECT 2\r\n",
            "\ufeffSELECT 1",
            "\ufeff\ufeffx",
            "x\r",
            "\n x \n\n",
        ]
    ),
).filter(lambda script: bool(script.strip()))


def _instants() -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001  # hypothesis wants them naive


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    kind = draw(st.sampled_from(IntervalType))
    start = draw(st.one_of(st.just(DEFAULT_START), _instants()))
    end = draw(st.one_of(st.just(DEFAULT_END), _instants()))
    return Schedule(
        interval_type=kind,
        interval_count=1 if kind is IntervalType.ONCE else draw(st.integers(1, 1200)),
        start_time=start,
        end_time=end if end >= start else DEFAULT_END,
        enabled=draw(st.booleans()),
    )


@st.composite
def members(draw: st.DrawFn) -> Member:
    kind = draw(st.sampled_from([each for each in TargetType if each is not TargetType.TARGET_GROUP]))
    membership = draw(st.sampled_from(MembershipType))
    names = st.sampled_from(["db1", "db 2", "DB-3", "Bücher", "d'b"])
    enumerated = kind is not TargetType.SQL_DATABASE
    return Member(
        target_type=kind,
        server_name=draw(st.sampled_from(["server1", "server2.database.windows.net", "tcp:server3,1433"])),
        membership_type=membership,
        database_name=draw(names) if kind in {TargetType.SQL_DATABASE, TargetType.SQL_SHARD_MAP} else None,
        elastic_pool_name=draw(names) if kind is TargetType.SQL_ELASTIC_POOL else None,
        shard_map_name=draw(names) if kind is TargetType.SQL_SHARD_MAP else None,
        refresh_credential_name="refresh" if enumerated else draw(st.sampled_from([None, "refresh"])),
    )


def _same_member(member: Member) -> tuple[str, ...]:
    names = (member.server_name, member.database_name, member.elastic_pool_name, member.shard_map_name)
    return (member.membership_type, member.target_type, *((name or "").casefold() for name in names))


def _unique(names: st.SearchStrategy[str], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(names, max_size=most, unique_by=key)


@st.composite
def outputs(draw: st.DrawFn) -> Output:
    return Output(
        server_name="server1",
        database_name=draw(NAMES),
        table_name=draw(NAMES),
        schema_name=draw(st.one_of(st.just("dbo"), NAMES)),
        credential_name="runner",
        subscription_id=draw(st.one_of(st.none(), st.uuids())),
        resource_group_name=draw(st.one_of(st.none(), NAMES)),
    )


@st.composite
def steps(draw: st.DrawFn, name: str, groups: Sequence[str]) -> StepDefinition:
    initial = draw(st.integers(0, 200))
    return StepDefinition(
        name=name,
        command=draw(_SCRIPTS),
        target_group_name=draw(st.sampled_from(groups)),
        credential_name="runner",
        retry=RetryPolicy(
            attempts=draw(st.integers(0, 2**31 - 1)),
            initial_interval_seconds=initial,
            maximum_interval_seconds=draw(st.integers(initial, 1000)),
            backoff_multiplier=draw(st.one_of(st.just(2.0), st.floats(1, 1e6))),
        ),
        timeout_seconds=draw(st.integers(1, 2**31 - 1)),
        output=draw(st.one_of(st.none(), outputs())),
        max_parallelism=draw(st.one_of(st.none(), st.integers(1, 100))),
    )


@st.composite
def definitions(draw: st.DrawFn) -> Definitions:
    """Definitions that an agent with the credentials ``CREDENTIALS`` takes."""
    group_names = draw(_unique(NAMES, 4))
    groups = [
        GroupDefinition(name=name, members=tuple(draw(st.lists(members(), max_size=4, unique_by=_same_member))))
        for name in group_names
    ]
    jobs = []
    for name in draw(_unique(_JOB_NAMES, 3)):
        step_names = draw(_unique(NAMES, 4)) if group_names else []
        own = tuple(draw(steps(step, group_names)) for step in step_names)
        description = draw(_TEXT.filter(lambda text: "\0" not in text))
        jobs.append(JobDefinition(name=name, description=description, schedule=draw(schedules()), steps=own))
    return Definitions(groups=tuple(groups), jobs=tuple(jobs)).sorted()


def sample() -> Definitions:
    """Two groups and two jobs that use every key of the files."""
    server = Member(target_type=TargetType.SQL_SERVER, server_name="server1", refresh_credential_name="refresh")
    one = Member(target_type=TargetType.SQL_DATABASE, server_name="server2", database_name="orders")
    left_out = replace(one, membership_type=MembershipType.EXCLUDE, server_name="server1", database_name="MappingDB")
    output = Output(
        server_name="server1", database_name="results", table_name="sizes", credential_name="runner", schema_name="s"
    )
    first = StepDefinition(name="measure", command="SELECT 1\n", target_group_name="Servers", credential_name="runner")
    second = replace(
        first,
        name="collect",
        command="SELECT 2\r\nGO\r\nSELECT 3",
        target_group_name="One",
        output=replace(output, subscription_id=UUID(int=5), resource_group_name="rg"),
        max_parallelism=3,
        retry=RetryPolicy(attempts=1, backoff_multiplier=1.5),
        timeout_seconds=600,
    )
    start = datetime(2030, 1, 31, 4, tzinfo=UTC)
    schedule = Schedule(interval_type=IntervalType.MONTHS, start_time=start, enabled=True)
    return Definitions(
        groups=(
            GroupDefinition(name="One", members=(one,)),
            GroupDefinition(name="Servers", members=(server, left_out)),
        ),
        jobs=(
            JobDefinition(name="idle", description="Nothing yet"),
            JobDefinition(name="nightly", schedule=schedule, steps=(first, second)),
        ),
    )


@dataclass
class Agent:
    """An agent behind a running API, and the command that talks to it."""

    server: Server
    client: Client

    def plan(self, wanted: Definitions, *, prune: bool = False) -> Plan:
        return make_plan(wanted, read_state(self.client), prune=prune)

    def apply(self, wanted: Definitions, *, prune: bool = False) -> Applied:
        state = read_state(self.client)
        return apply_plan(self.client, make_plan(wanted, state, prune=prune), state.agent_id)

    def holds(self) -> Definitions:
        return read_state(self.client).definitions

    def run(self, *words: str | Path, input: str | None = None, **environ: str) -> Result:  # noqa: A002  # as CliRunner has it
        """The command, against this agent; not on a terminal."""
        root = typer.Typer()
        files.register(root)
        moving.register(root)
        env = {"ELASTIC_JOBS_ENDPOINT": self.server.url, "ELASTIC_JOBS_TOKEN": token(*ALL_ROLES)} | environ
        return CliRunner().invoke(root, [str(word) for word in words], input=input, env=env)

    def empty(self) -> None:
        """A new agent with the two credentials, and nothing else."""
        clear(self.server.database)
        self.server.agent()
        for name in CREDENTIALS:
            self.server.put(f"/credentials/{name}", {"properties": {"username": name, "password": "Pa55word"}})


@contextlib.contextmanager
def running_agent(directory: Path, **settings: Any) -> Iterator[Agent]:
    """An API of its own with an agent that holds nothing but credentials."""
    with running(directory, **settings) as server, Client(server.url, lambda: token(*ALL_ROLES)) as client:
        agent = Agent(server, client)
        agent.empty()
        yield agent


@contextlib.contextmanager
def emptied(agent: Agent) -> Iterator[Agent]:
    """The same agent, empty, with an HTTP client of this test's own."""
    agent.empty()
    with http_client(agent.server.url, *ALL_ROLES) as http:
        yield replace(agent, server=replace(agent.server, http=http))
