"""What has to change on an agent so that it holds the wanted definitions. Nothing is asked here and nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from shlex import quote
from typing import Any, TypeVar

from elastic_jobs.cli.files.model import (
    CredentialUse,
    Definitions,
    GroupDefinition,
    JobDefinition,
    by_key,
    credential_uses,
    key,
    respell,
    same_group,
    same_job,
)
from elastic_jobs.cli.files.state import AgentState, Running
from elastic_jobs.cli.files.writing import group_content, job_content
from elastic_jobs.domain.targets import MembershipType

AnyDefinition = TypeVar("AnyDefinition", GroupDefinition, JobDefinition)


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class GroupChange:
    """One target group. ``before`` is None for a new one, ``after`` for one to delete."""

    before: GroupDefinition | None
    after: GroupDefinition | None


@dataclass(frozen=True, kw_only=True)
class JobChange:
    """One job with its steps, likewise."""

    before: JobDefinition | None
    after: JobDefinition | None


Change = GroupChange | JobChange


def action_of(change: Change) -> Action:
    """What is to be done."""
    if change.before is None:
        return Action.CREATE
    return Action.DELETE if change.after is None else Action.CHANGE


def name_of(change: Change) -> str:
    """The name of what changes."""
    found = change.after or change.before
    return "" if found is None else found.name


def kind_of(change: Change) -> str:
    """``target group`` or ``job``."""
    return "target group" if isinstance(change, GroupChange) else "job"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The changes, groups before jobs, by name.

    kept: what the agent has beyond the files and keeps, because it was not asked to go. problems: sentences; while
    there are any, nothing is applied.
    """

    changes: tuple[Change, ...] = ()
    kept: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def deletions(self) -> tuple[Change, ...]:
        """The changes that delete a target group or a job."""
        return tuple(change for change in self.changes if change.after is None)

    @property
    def fingerprint(self) -> str:
        """Equal for plans that do the same to the same: an agent or files that changed give another one."""
        return hashlib.sha256("\n".join(map(repr, self.changes)).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def count(self, action: Action) -> int:
        """How many groups and jobs are to be created, changed or deleted."""
        return sum(action_of(change) is action for change in self.changes)


def make_plan(wanted: Definitions, state: AgentState, *, prune: bool, running: Running | None = None) -> Plan:
    """How to bring the agent to the wanted definitions.

    prune: delete what the agent has beyond them. running: what must not be deleted now.
    """
    has = state.definitions
    wanted = respell(wanted, (group.name for group in has.groups), has.jobs, state.credentials)
    groups, spare_groups = _paired(wanted.groups, has.groups, same_group)
    jobs, spare_jobs = _paired(wanted.jobs, has.jobs, same_job)
    group_changes = [GroupChange(before=before, after=after) for before, after in groups]
    changes: list[Change] = [change for change in group_changes if not _is_emptied(change)]
    changes += [JobChange(before=before, after=after) for before, after in jobs]
    # Steps leave them only then; a group that a step runs on cannot become empty.
    emptied = [change for change in group_changes if _is_emptied(change)]
    job_deletions = [JobChange(before=job, after=None) for job in spare_jobs]
    group_deletions = [GroupChange(before=group, after=None) for group in spare_groups]
    deletions: list[Change] = [*job_deletions, *group_deletions]
    staying = wanted.jobs if prune else (*wanted.jobs, *spare_jobs)
    problems = [*_credential_problems(wanted, state), *_emptying_problems(emptied, staying)]
    if not prune:
        kept = tuple(f"{kind_of(change)} '{name_of(change)}'" for change in deletions)
        return Plan(changes=(*changes, *emptied), kept=kept, problems=tuple(problems))
    problems += running_problems(deletions, running or Running())
    return Plan(changes=(*changes, *job_deletions, *emptied, *group_deletions), problems=tuple(problems))


def _is_emptied(change: GroupChange) -> bool:
    return _includes(change.before) and not _includes(change.after)


def _includes(group: GroupDefinition | None) -> bool:
    return group is not None and any(m.membership_type is MembershipType.INCLUDE for m in group.members)


def _paired(
    wanted: Sequence[AnyDefinition], has: Sequence[AnyDefinition], same: Callable[[AnyDefinition, AnyDefinition], bool]
) -> tuple[list[tuple[AnyDefinition | None, AnyDefinition]], list[AnyDefinition]]:
    """Pairs of before and after that differ, and what is there beyond what is wanted."""
    known, asked = by_key(has), by_key(wanted)
    pairs = [(known.get(key(after.name)), after) for after in wanted]
    differing = [(before, after) for before, after in pairs if before is None or not same(before, after)]
    return differing, [item for item in has if key(item.name) not in asked]


def _credential_problems(wanted: Definitions, state: AgentState) -> Iterator[str]:
    known = {key(name) for name in state.credentials}
    missing: dict[str, list[CredentialUse]] = {}
    for use in credential_uses(wanted):
        if state.has_identity:
            if use.credential is not None:
                yield (
                    f"The {use.where} names the credential '{use.credential}', but the agent reaches its targets by "
                    "its identity; leave the credential out."
                )
        elif use.credential is None:
            yield f"The {use.where} names no credential, and the agent has no identity; name a credential."
        elif key(use.credential) not in known:
            missing.setdefault(key(use.credential), []).append(use)
    for uses in missing.values():
        more = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
        yield (
            f"The agent has no credential '{uses[0].credential}', which the {uses[0].where}{more} needs; "
            f"create it with 'elastic-jobs credential set {quote(uses[0].credential or '')} --username USER'."
        )


def _emptying_problems(emptied: Sequence[GroupChange], jobs: Sequence[JobDefinition]) -> Iterator[str]:
    """What the API would refuse halfway: groups that lose their last included member while steps still run on them."""
    for change in emptied:
        name = key(name_of(change))
        users = [(step, job) for job in jobs for step in job.steps if key(step.target_group_name) == name]
        if users:
            step, job = users[0]
            more = f" and {len(users) - 1} more" if len(users) > 1 else ""
            yield (
                f"The target group '{name_of(change)}' would be left without an included member, but step "
                f"'{step.name}' of job '{job.name}'{more} runs on it; keep a member, or give the step another target "
                "group first."
            )


def running_problems(deletions: Sequence[Change], running: Running) -> Iterator[str]:
    """What must not be deleted because something runs on it, as sentences."""
    for change in deletions:
        name = name_of(change)
        if isinstance(change, JobChange) and key(name) in running.jobs:
            yield f"The job '{name}' is running and is not deleted; wait for its end, or cancel it, and try again."
        user = running.user_of(name) if isinstance(change, GroupChange) else None
        if user is not None:
            yield (
                f"The target group '{name}' is not deleted, because the job '{user}' is running on it; wait for its "
                "end, or cancel it, and try again."
            )


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs: each change with the definition before and after, as files and API spell them."""

    def shown(item: GroupDefinition | JobDefinition | None) -> dict[str, Any] | None:
        if item is None:
            return None
        return group_content(item) if isinstance(item, GroupDefinition) else job_content(item)

    return {
        "fingerprint": plan.fingerprint,
        "changes": [
            {
                "kind": kind_of(change),
                "name": name_of(change),
                "action": action_of(change).value,
                "before": shown(change.before),
                "after": shown(change.after),
            }
            for change in plan.changes
        ],
        "kept": list(plan.kept),
        "problems": list(plan.problems),
    }


def disabled(job: JobDefinition) -> JobDefinition:
    """The job with its schedule switched off."""
    return replace(job, schedule=replace(job.schedule, enabled=False))
