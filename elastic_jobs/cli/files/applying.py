"""Brings an agent to a plan, one call of the API after the other, in an order in which each one is allowed.

Target groups come first, then jobs, each with its steps; a schedule is switched on last and off first. Deletions come
in reverse: jobs, then target groups. What stops in the middle leaves whole definitions, and running it again does
the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.errors import ApiError, CliError
from elastic_jobs.cli.files.model import GroupDefinition, JobDefinition, key, same_group, same_job, same_step
from elastic_jobs.cli.files.plan import (
    Action,
    Change,
    GroupChange,
    JobChange,
    Plan,
    action_of,
    disabled,
    kind_of,
    name_of,
    running_problems,
)
from elastic_jobs.cli.files.state import find_group, find_job, read_running
from elastic_jobs.cli.files.wire import Bodies
from elastic_jobs.domain.model import StepDefinition

AnyDefinition = TypeVar("AnyDefinition", GroupDefinition, JobDefinition)
Same = Callable[[AnyDefinition, AnyDefinition], bool]
Tell = Callable[[str], None]


class ChangedMeanwhileError(CliError):
    """Somebody else changed a definition after the plan was made."""


@dataclass
class Applied:
    """What became of a plan: the changes that were made, and those that failed with the reason."""

    done: list[Change] = field(default_factory=list)
    failed: list[tuple[Change, str]] = field(default_factory=list)


@dataclass(frozen=True)
class PutStep:
    """Create or change a step at a place from 1."""

    step: StepDefinition
    place: int


@dataclass(frozen=True)
class DeleteStep:
    """Delete a step."""

    name: str


def step_edits(before: Sequence[StepDefinition], after: Sequence[StepDefinition]) -> Iterator[PutStep | DeleteStep]:
    """The fewest edits, each a new version, that are sure to lead from some steps to others.

    What goes is deleted first, but never so that the job has no step in between: getting a first step anew would
    start a job whose schedule has no start time.
    """
    wanted = {key(step.name) for step in after}
    spare = [step for step in before if key(step.name) not in wanted]
    now = list(before)
    if len(spare) < len(before):
        for step in spare:
            yield DeleteStep(step.name)
        now = [step for step in now if key(step.name) in wanted]
        spare = []
    for index, step in enumerate(after):
        if index < len(now) and key(now[index].name) == key(step.name):
            if not same_step(now[index], step):
                yield PutStep(step, index + 1)
            continue
        now = [other for other in now if key(other.name) != key(step.name)]
        now.insert(index, step)
        yield PutStep(step, index + 1)
    for step in spare:
        yield DeleteStep(step.name)


def apply_plan(
    client: Client, plan: Plan, agent_id: str, *, tell: Tell = lambda _: None, keep_going: bool = False
) -> Applied:
    """Make the changes of a plan.

    tell: is told each change when it is made. keep_going: note what the API refuses, and what needs it, and do the
    rest; otherwise problems of the plan let nothing begin, and the first refusal ends it.

    Raises:
        CliError: without keep_going, the plan has problems, something changed since it was made, or the API refuses
            a change; with it, the API cannot be asked any more. The message says how far it went.
    """
    if plan.problems and not keep_going:
        raise CliError("\n".join(["Nothing was changed:", *plan.problems]))
    return _Applying(client, Bodies(agent_id), tell, keep_going=keep_going).run(plan)


class _Applying:
    """One application of a plan."""

    def __init__(self, client: Client, bodies: Bodies, tell: Tell, *, keep_going: bool) -> None:
        self._client, self._bodies, self._tell, self._keep_going = client, bodies, tell, keep_going
        self._applied = Applied()

    def run(self, plan: Plan) -> Applied:
        """Make the changes in the order in which the plan has them."""
        guarded = False
        for change in plan.changes:
            if action_of(change) is Action.DELETE and not guarded:
                self._guard_deletions(plan)
                guarded = True
            try:
                self._refuse_orphan(change)
                self._make(change)
            except CliError as error:
                if not self._keep_going or not isinstance(error, (ApiError, ChangedMeanwhileError)):
                    error.args = (self._how_far(change, error, plan),)
                    raise
                self._applied.failed.append((change, str(error)))
                continue
            self._applied.done.append(change)
            self._tell(f"{_PAST[action_of(change)]} {kind_of(change)} {name_of(change)}")
        return self._applied

    def _refuse_orphan(self, change: Change) -> None:
        """A job whose target group was refused would be left without steps."""
        lost = {key(name_of(each)): reason for each, reason in self._applied.failed if isinstance(each, GroupChange)}
        steps = change.after.steps if isinstance(change, JobChange) and change.after is not None else ()
        for step in steps:
            reason = lost.get(key(step.target_group_name))
            if reason is not None:
                group = step.target_group_name
                raise ApiError(400, "", f"Its step '{step.name}' needs the target group '{group}': {reason}")

    def _how_far(self, change: Change, error: CliError, plan: Plan) -> str:
        done, count = len(self._applied.done), len(plan.changes)
        return (
            f"Stopped at the {kind_of(change)} '{name_of(change)}': {error}\n"
            f"{done} of {count} changes are made. Run it again to go on from here."
        )

    def _guard_deletions(self, plan: Plan) -> None:
        problems = list(running_problems(plan.deletions, read_running(self._client)))
        if problems:
            done = len(self._applied.done)
            raise CliError(
                "\n".join([*problems, f"{done} of {len(plan.changes)} changes are made; nothing is deleted."])
            )

    def _make(self, change: Change) -> None:
        name = name_of(change)
        if isinstance(change, GroupChange):
            group = find_group(self._client, name)
            _expect(change, unchanged=_same(change.before, group, same_group))
            self._make_group(change)
        else:
            job = find_job(self._client, name)
            _expect(change, unchanged=_same(change.before, job, same_job))
            self._make_job(change)

    def _make_group(self, change: GroupChange) -> None:
        if change.after is None:
            self._client.delete(path("targetGroups", name_of(change)))
        else:
            self._client.put(path("targetGroups", change.after.name), self._bodies.group(change.after))

    def _make_job(self, change: JobChange) -> None:
        before, after = change.before, change.after
        if after is None:
            self._client.delete(path("jobs", name_of(change)))
            return
        current = before
        # An enabled job would start with its first step, before it has the others.
        if before is None or (before.schedule.enabled and not (after.schedule.enabled and before.steps)):
            current = disabled(after)
            self._put_job(current)
        for edit in step_edits(before.steps if before else (), after.steps):
            if isinstance(edit, DeleteStep):
                self._client.delete(path("jobs", after.name, "steps", edit.name))
            else:
                body = self._bodies.step(edit.step, edit.place)
                self._client.put(path("jobs", after.name, "steps", edit.step.name), body)
        if current is None or (current.description, current.schedule) != (after.description, after.schedule):
            self._put_job(after)

    def _put_job(self, job: JobDefinition) -> None:
        self._client.put(path("jobs", job.name), self._bodies.job(job))


_PAST = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


def _same(before: AnyDefinition | None, found: AnyDefinition | None, same: Same[AnyDefinition]) -> bool:
    if before is None or found is None:
        return before is found
    return same(before, found)


def _expect(change: Change, *, unchanged: bool) -> None:
    if not unchanged:
        raise ChangedMeanwhileError(
            f"Somebody else changed the {kind_of(change)} '{name_of(change)}' meanwhile; look at a new plan."
        )
