"""What a folder, an agent or a source of a move defines: target groups, and jobs with their steps.

Plain values made of those of the domain. They have no ids and no version, and credentials by name only: two agents
that were made from one folder are equal.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType

ENUMERATED = frozenset({TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL, TargetType.SQL_SHARD_MAP})
"""Types of members whose databases are asked for at run time; that needs a credential of its own."""
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str: ...


AnyNamed = TypeVar("AnyNamed", bound=Named)


def key(name: str) -> str:
    """What makes two names the same: names are compared without case.

    The letters of ASCII only, as a job database on SQLite does; SQL Server folds others too.
    """
    return name.translate(_FOLD)


def by_key(items: Iterable[AnyNamed]) -> dict[str, AnyNamed]:
    """Definitions by what makes their names the same."""
    return {key(item.name): item for item in items}


@dataclass(frozen=True, kw_only=True)
class GroupDefinition:
    """A target group."""

    name: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    """A job with its schedule and the steps of its current version, in their order."""

    name: str
    description: str = ""
    schedule: Schedule = field(default_factory=Schedule)
    steps: tuple[StepDefinition, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """All that a folder or an agent defines, in the order of the names."""

    groups: tuple[GroupDefinition, ...] = ()
    jobs: tuple[JobDefinition, ...] = ()

    def sorted(self) -> Definitions:
        """The same in the order of the names."""
        return Definitions(groups=_sorted(self.groups), jobs=_sorted(self.jobs))


def _sorted(items: Iterable[AnyNamed]) -> tuple[AnyNamed, ...]:
    return tuple(sorted(items, key=lambda item: (key(item.name), item.name)))


@dataclass(frozen=True, kw_only=True)
class CredentialUse:
    """A place where a credential stands, or where one is needed and none stands.

    group, job: the name of the definition that has it; the other one is None.
    """

    credential: str | None
    where: str
    group: str | None = None
    job: str | None = None


def credential_uses(definitions: Definitions) -> Iterator[CredentialUse]:
    """Every place that names a credential, and every one that needs one unless the agent has an identity."""
    for group in definitions.groups:
        for member in group.members:
            asked = member.membership_type is MembershipType.INCLUDE and member.target_type in ENUMERATED
            if member.refresh_credential_name is not None or asked:
                where = f"member {describe(member)} of target group '{group.name}'"
                yield CredentialUse(credential=member.refresh_credential_name, where=where, group=group.name)
    for job in definitions.jobs:
        for step in job.steps:
            where = f"step '{step.name}' of job '{job.name}'"
            yield CredentialUse(credential=step.credential_name, where=where, job=job.name)
            if step.output is not None:
                yield CredentialUse(credential=step.output.credential_name, where=f"output of {where}", job=job.name)


def describe(member: Member) -> str:
    """``SqlDatabase server1/database1``."""
    names = [member.server_name, member.elastic_pool_name, member.database_name, member.shard_map_name]
    return f"{member.target_type} {'/'.join(name for name in names if name)}"


def same_group(one: GroupDefinition, other: GroupDefinition) -> bool:
    """Whether two groups of one name mean the same. The order of members means nothing."""
    return sorted(map(repr, one.members)) == sorted(map(repr, other.members))


def same_step(one: StepDefinition, other: StepDefinition) -> bool:
    """Whether two steps are the same. A backoff multiplier that went through T-SQL (``real``) keeps six digits."""
    ours, theirs = one.retry.backoff_multiplier, other.retry.backoff_multiplier
    if not math.isclose(ours, theirs, rel_tol=1e-6):
        return False
    return one == replace(other, retry=replace(other.retry, backoff_multiplier=ours))


def same_steps(one: JobDefinition, other: JobDefinition) -> bool:
    """Whether two jobs have the same steps in the same order."""
    return len(one.steps) == len(other.steps) and all(
        same_step(ours, theirs) for ours, theirs in zip(one.steps, other.steps, strict=True)
    )


def same_job(one: JobDefinition, other: JobDefinition) -> bool:
    """Whether two jobs of one name are the same."""
    return one.description == other.description and one.schedule == other.schedule and same_steps(one, other)


def respell(
    wanted: Definitions, groups: Iterable[str], jobs: Iterable[JobDefinition], credentials: Iterable[str]
) -> Definitions:
    """The definitions with names spelled as an agent has them, so that a difference in case is no difference.

    groups, credentials: names on the agent; jobs: its jobs, for their names and those of their steps.
    """
    group_names = {key(name): name for name in groups}
    # What is new is spelled as its own definition has it.
    group_names = {key(group.name): group.name for group in wanted.groups} | group_names
    credential_names = {key(name): name for name in credentials}

    def credential(name: str | None) -> str | None:
        return None if name is None else credential_names.get(key(name), name)

    def member(given: Member) -> Member:
        return replace(given, refresh_credential_name=credential(given.refresh_credential_name))

    def step(given: StepDefinition, known: dict[str, StepDefinition]) -> StepDefinition:
        found = known.get(key(given.name))
        output = given.output and replace(given.output, credential_name=credential(given.output.credential_name))
        return replace(
            given,
            name=found.name if found else given.name,
            target_group_name=group_names.get(key(given.target_group_name), given.target_group_name),
            credential_name=credential(given.credential_name),
            output=output,
        )

    known_jobs = by_key(jobs)

    def job(given: JobDefinition) -> JobDefinition:
        found = known_jobs.get(key(given.name))
        steps = by_key(found.steps) if found else {}
        return replace(
            given, name=found.name if found else given.name, steps=tuple(step(each, steps) for each in given.steps)
        )

    return Definitions(
        groups=tuple(
            replace(group, name=group_names[key(group.name)], members=tuple(map(member, group.members)))
            for group in wanted.groups
        ),
        jobs=tuple(map(job, wanted.jobs)),
    ).sorted()
