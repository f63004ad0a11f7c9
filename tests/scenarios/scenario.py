"""What people do to an agent, from the first target group to the last deletion, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.outcome import Outcome
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from tests.scenarios.hands import Hand, RefusedError
from tests.scenarios.rows import Teller, Told
from tests.scenarios.worker import end_canceled_runs, work

SERVER = Member(target_type=TargetType.SQL_SERVER, server_name="server1", refresh_credential_name="refresher")
POOL = Member(
    target_type=TargetType.SQL_ELASTIC_POOL,
    server_name="Server2.database.windows.net",
    elastic_pool_name="Pool 1",
    refresh_credential_name="refresher",
)
DATABASE = Member(target_type=TargetType.SQL_DATABASE, server_name="tcp:server1,1433", database_name="database1")
SHARDS = Member(
    target_type=TargetType.SQL_SHARD_MAP,
    server_name="server1",
    database_name="manager",
    shard_map_name="Shards",
    refresh_credential_name="refresher",
)
KINDS = (SERVER, POOL, DATABASE, SHARDS)
EXCLUDED = tuple(
    replace(member, membership_type=MembershipType.EXCLUDE, server_name="elsewhere.example.net") for member in KINDS
)
FAR = replace(DATABASE, server_name="server3")
DAYS = Schedule(
    interval_type=IntervalType.DAYS,
    interval_count=3,
    start_time=datetime(2099, 1, 1, tzinfo=UTC),
    end_time=datetime(2100, 1, 1, tzinfo=UTC),
)
OUTPUT = Output(
    server_name="server1",
    database_name="results",
    schema_name="other",
    table_name="Ergebnisse Ä",
    credential_name="runner",
    subscription_id=UUID(int=7),
    resource_group_name="group",
)
FIRST = StepDefinition(
    name="first step",
    command="SELECT N'Ä''s';\nGO\nPRINT '%'",
    target_group_name="all kinds",
    credential_name="runner",
    retry=RetryPolicy(attempts=3, initial_interval_seconds=2, maximum_interval_seconds=30, backoff_multiplier=1.3),
    timeout_seconds=77,
    output=OUTPUT,
    max_parallelism=5,
)
SECOND = StepDefinition(name="second", command="SELECT 2", target_group_name="ALL kinds", credential_name="RUNNER")
THIRD = replace(SECOND, name="third", command="SELECT 3")
NARROW = replace(SECOND, name="narrow", credential_name="narrow", target_group_name="small")
JOB = "Nightly Ä job"
Action = Callable[[Hand], object]


@dataclass(frozen=True)
class Stage:
    """What there was after an action, and the sentence with which it was refused, if it was."""

    action: str
    refused: str | None
    rows: Told


def play(hand: Hand) -> Iterator[Stage]:
    """Do everything; a stage after each action."""
    teller = Teller(hand.database)
    for acts in (GROUPS, JOBS, STEPS, LISTS, _runs(), ENDS):
        for name, action in acts.items():
            refused = None
            try:
                action(hand)
            except RefusedError as error:
                refused = str(error)
            yield Stage(name, refused, teller.tell())


def _delete_a_job_that_runs(hand: Hand) -> None:
    hand.start(JOB)
    hand.drop_job(JOB)


def _adding(member: Member) -> Action:
    return lambda hand: hand.add_member("all kinds", member)


GROUPS: dict[str, Action] = {
    "group": lambda hand: hand.add_group("all kinds"),
    **{f"include {member.target_type}": _adding(member) for member in KINDS},
    **{f"exclude {member.target_type}": _adding(member) for member in EXCLUDED},
    "member twice": lambda hand: hand.add_member("all kinds", replace(DATABASE, server_name="SERVER1")),
    "member without a credential": lambda hand: hand.add_member(
        "all kinds", replace(SERVER, server_name="server4", refresh_credential_name=None)
    ),
    "member of another kind": lambda hand: hand.add_member("all kinds", replace(SERVER, database_name="d")),
    "server that is not allowed": lambda hand: hand.add_member("all kinds", replace(FAR, server_name="evil.net")),
    "server that is none": lambda hand: hand.add_member("all kinds", replace(FAR, server_name="a b")),
    "drop a member": lambda hand: hand.drop_member("all kinds", POOL),
    "member again": lambda hand: hand.add_member("all kinds", POOL),
    "drop an excluded member": lambda hand: hand.drop_member("all kinds", EXCLUDED[0]),
    "another group": lambda hand: hand.add_group("small"),
    "its member": lambda hand: hand.add_member("small", DATABASE),
    "third group": lambda hand: hand.add_group("gone"),
    "its excluded member": lambda hand: hand.add_member("gone", EXCLUDED[3]),
    "drop a group": lambda hand: hand.drop_group("gone"),
    "group with a wrong name": lambda hand: hand.add_group(" a"),
}
JOBS: dict[str, Action] = {
    "job": lambda hand: hand.add_job(JOB, "said", DAYS),
    "job once": lambda hand: hand.add_job("once", "", Schedule()),
    "describe": lambda hand: hand.change_job(JOB, "Ä said", DAYS),
    "enable": lambda hand: hand.change_job(JOB, "Ä said", replace(DAYS, enabled=True)),
    "rename": lambda hand: hand.rename_job("once", "only once"),
    "rename to a name that is taken": lambda hand: hand.rename_job("only once", JOB.upper()),
    "job with a wrong name": lambda hand: hand.add_job("a%b", "", Schedule()),
    "too rarely": lambda hand: hand.change_job(JOB, "", replace(DAYS, interval_count=36526)),
    "end before start": lambda hand: hand.change_job(
        JOB, "", replace(DAYS, end_time=DAYS.start_time - timedelta(seconds=1))
    ),
    "start without steps": lambda hand: hand.start(JOB),
}
STEPS: dict[str, Action] = {
    "first step": lambda hand: hand.add_step(JOB, FIRST),
    "second step": lambda hand: hand.add_step(JOB, SECOND),
    "third step between": lambda hand: hand.add_step(JOB, THIRD, 2),
    "change a step": lambda hand: hand.change_step(JOB, replace(SECOND, command="SELECT 22", max_parallelism=2)),
    "change it back": lambda hand: hand.change_step(JOB, SECOND),
    "give it an output": lambda hand: hand.change_step(
        JOB, replace(SECOND, output=replace(OUTPUT, subscription_id=None, resource_group_name=None))
    ),
    "take it away": lambda hand: hand.change_step(JOB, SECOND),
    "reorder": lambda hand: hand.change_step(JOB, SECOND, 1),
    "rename a step": lambda hand: hand.rename_step(JOB, "third", replace(THIRD, name="3rd")),
    "place that is none": lambda hand: hand.change_step(JOB, SECOND, 4),
    "step without a script": lambda hand: hand.change_step(JOB, replace(SECOND, command=" \n")),
    "step without a group": lambda hand: hand.change_step(JOB, replace(SECOND, target_group_name="nobody")),
    "step without a credential": lambda hand: hand.change_step(JOB, replace(SECOND, credential_name=None)),
    "wrong retries": lambda hand: hand.change_step(
        JOB, replace(SECOND, retry=RetryPolicy(initial_interval_seconds=200))
    ),
    "no time": lambda hand: hand.change_step(JOB, replace(SECOND, timeout_seconds=0)),
    "drop a step": lambda hand: hand.drop_step(JOB, SECOND.name),
    "drop a group in use": lambda hand: hand.drop_group("all kinds"),
    "schedule": lambda hand: hand.change_job(JOB, "", replace(DAYS, enabled=True, interval_count=5)),
    "end of the schedule": lambda hand: hand.change_job(
        JOB, "", replace(DAYS, enabled=True, interval_count=5, end_time=datetime(2099, 6, 1, tzinfo=UTC))
    ),
    "schedule again": lambda hand: hand.change_job(JOB, "", replace(DAYS, enabled=True)),
}
LISTS: dict[str, Action] = {
    "step of a narrow credential": lambda hand: hand.add_step("only once", NARROW),
    "server that the step's credential may not go to": lambda hand: hand.add_member("small", FAR),
    "excluded it may be": lambda hand: hand.add_member("small", replace(FAR, membership_type=MembershipType.EXCLUDE)),
    "server that the member's credential may not go to": lambda hand: hand.add_member(
        "all kinds", replace(SERVER, server_name="server5", refresh_credential_name="narrow")
    ),
    "group that the credential may not go to": lambda hand: hand.change_step(
        "only once", replace(NARROW, target_group_name="all kinds")
    ),
    "output that the credential may not go to": lambda hand: hand.change_step(
        "only once", replace(NARROW, output=replace(OUTPUT, server_name="server2", credential_name="Narrow"))
    ),
    "output that it may go to": lambda hand: hand.change_step(
        "only once",
        replace(
            NARROW, output=replace(OUTPUT, credential_name="narrow", subscription_id=None, resource_group_name=None)
        ),
    ),
    "last included member": lambda hand: hand.drop_member("small", DATABASE),
}
ENDS: dict[str, Action] = {
    "drop one step": lambda hand: hand.drop_step(JOB, "3rd"),
    "drop the last step": lambda hand: hand.drop_step(JOB, FIRST.name),
    "and begin again": lambda hand: hand.add_step(JOB, FIRST),
    "delete a job that runs": _delete_a_job_that_runs,
    "delete it by force": lambda hand: hand.drop_job(JOB, force=True),
    "its name is free": lambda hand: hand.add_job(JOB, "anew", DAYS),
    "delete one that does not run": lambda hand: hand.drop_job("only once"),
    "drop the group": lambda hand: hand.drop_group("small"),
}


def _runs() -> dict[str, Action]:
    """Runs have ids; these are kept from one action to the next."""
    runs: dict[str, UUID] = {}

    def start(name: str) -> Action:
        return lambda hand: runs.__setitem__(name, hand.start(JOB))

    return {
        "start": start("a"),
        "succeed": lambda hand: work(hand.database, runs["a"], Outcome.SUCCEEDED),
        "start again": start("b"),
        "start once more": start("c"),
        "stop": lambda hand: hand.stop(JOB, runs["b"]),
        "stop again": lambda hand: hand.stop(JOB, runs["b"]),
        "tick": lambda hand: end_canceled_runs(hand.database),
        "stop what has ended": lambda hand: hand.stop(JOB, runs["a"]),
        "purge what is old": lambda hand: hand.purge(JOB, datetime(2001, 1, 1, tzinfo=UTC)),
        "purge": lambda hand: hand.purge(JOB, None),
        "fail": lambda hand: work(hand.database, runs["c"], Outcome.FAILED),
    }
