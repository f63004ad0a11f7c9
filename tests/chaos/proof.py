"""The laws, as questions to the facts of a run. Each answers with sentences about what broke it; none means it held.

Nothing of the product decides here: states, moves and the roll-up are written down once more, from the documentation.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator

from local.sqlserver.journal import peak_overlap
from tests.chaos.case import TOLERANCE, Case
from tests.chaos.facts import Facts, Move, Row, Script
from tests.chaos.plan import Plan

ENDED = frozenset({"Succeeded", "SucceededWithSkipped", "Failed", "TimedOut", "Canceled", "Skipped"})
LOST_LIMIT = 20
"""Attempts that may be lost before a target fails without a retry."""
_UNCONFIRMED = "did not confirm"


def violations(plan: Plan, facts: Facts) -> list[str]:
    """Everything that broke a law."""
    case = Case(plan, facts)
    return [f"{check.__name__.strip('_')}: {found}" for check in _CHECKS for found in check(case)]


def _planned_targets_are_those_of_the_group(case: Case) -> Iterator[str]:
    for step, planned in case.steps:
        found = sorted((row.server_name, row.database_name) for row in _children(case, step))
        if found != sorted(database.key for database in planned.databases) and (found or step.lifecycle != "Canceled"):
            if step.lifecycle == "Failed" and not found:
                continue  # its group could not be resolved, as often as it was tried
            yield f"step {planned.marker} of run {step.job_execution_id} planned {len(found)} targets: {found}"


def _all_has_ended_once(case: Case) -> Iterator[str]:
    if len(case.facts.runs) != len(case.plan.runs):
        yield f"{len(case.plan.runs)} runs were started, the job database has {len(case.facts.runs)}"
    for row in (*case.facts.runs, *case.facts.steps, *case.facts.targets):
        moves = case.moves[row.id]
        ends = [move for move in moves if move.new in ENDED]
        if row.lifecycle not in ENDED or len(ends) != 1 or moves[-1] is not ends[0]:
            yield f"{row.id} went through {_way(moves)}"
        for before, after in itertools.pairwise(moves):
            if after.old != before.new:
                yield f"{row.id} jumped: {_way(moves)}"


def _every_move_is_legal(case: Case) -> Iterator[str]:
    for move in case.facts.moves:
        if move.new not in _MOVES[move.level].get(move.old, frozenset()):
            yield f"{move.level} {move.row_id} moved from {move.old} to {move.new}"


_GROUP_ENDS = frozenset({"Succeeded", "SucceededWithSkipped", "Failed", "TimedOut", "Canceled"})
_MOVES: dict[str, dict[str | None, frozenset[str]]] = {
    "job": {
        None: frozenset({"Created"}),
        "Created": frozenset({"InProgress", "Canceled"}),
        "InProgress": _GROUP_ENDS,
    },
    "step": {
        None: frozenset({"Created"}),
        "Created": frozenset({"InProgress", "Canceled"}),
        "InProgress": frozenset({"WaitingForChildJobExecutions", "WaitingForRetry", "Failed", "Canceled"}),
        "WaitingForRetry": frozenset({"InProgress", "Canceled"}),
        "WaitingForChildJobExecutions": _GROUP_ENDS,
    },
    "target": {
        None: frozenset({"Created", "Skipped"}),
        "Created": frozenset({"InProgress", "Canceled"}),
        "InProgress": frozenset({"WaitingForRetry", "Succeeded", "Failed", "TimedOut", "Canceled"}),
        "WaitingForRetry": frozenset({"InProgress", "Canceled"}),
    },
}


def _nothing_ends_before_its_children(case: Case) -> Iterator[str]:
    for move in case.facts.moves:
        if move.new in ENDED and move.open_children:
            yield f"{move.level} {move.row_id} became {move.new} while {move.open_children} of its children were active"


def _no_two_scripts_overlap(case: Case) -> Iterator[str]:
    by_target: dict[tuple[str, str, str], list[Script]] = defaultdict(list)
    for script in case.facts.scripts:
        by_target[script.marker, script.server, script.database].append(script)
    for target, scripts in by_target.items():
        for before, after in itertools.pairwise(scripts):
            if after.began < before.ended:
                yield f"two scripts ran on {target} at once, for {before.ended - after.began:.3f} s"


def _scripts_run_within_their_claims(case: Case) -> Iterator[str]:
    """Except what could not be stopped: a worker that hung beyond its lease, a server that did not answer."""
    for script, target, claim in case.scripts:
        if target is None:
            yield f"a script of {script.marker} ran on {script.database} for a run without such a target"
        elif claim is None and not target.lost_attempts:
            yield f"a script of {script.marker} ran on {script.database} without a claim, from {script.began_at}"
        elif (
            claim is not None
            and script.ended_at > claim[1] + TOLERANCE
            and not (target.lost_attempts or _unconfirmed(target))
        ):
            beyond = (script.ended_at - claim[1]).total_seconds()
            yield f"a script of {script.marker} on {script.database} ran {beyond:.3f} s beyond its claim"


def _unconfirmed(target: Row) -> bool:
    return _UNCONFIRMED in (target.last_message or "")


def _capacity_holds(case: Case) -> Iterator[str]:
    """Scripts beyond their claim do not count: nobody could stop them, and their slot was given on for that reason."""
    yield from case.facts.excess
    counted = [interval for _, interval in _intervals(case)]
    peak = peak_overlap(counted)
    if peak > case.plan.capacity:
        yield f"{peak} scripts ran at once, the capacity is {case.plan.capacity}"


def _max_parallelism_holds(case: Case) -> Iterator[str]:
    steps = {step.marker: step for job in case.plan.jobs for step in job.steps}
    pools = {database.key: database.pool for database in case.plan.databases}
    by_pool: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (script, target), interval in _intervals(case):
        pool = target.elastic_pool_name
        if pool is None:
            continue
        if pool != pools[script.server, script.database]:
            yield f"the target on {script.database} has pool {pool}"
        by_pool[script.marker, pool].append(interval)
    for (marker, pool), intervals in by_pool.items():
        limit, peak = steps[marker].max_parallelism, peak_overlap(intervals)
        if limit is not None and peak > limit:
            yield f"{peak} scripts of {marker} ran at once in pool {pool}, its max_parallelism is {limit}"


def _intervals(case: Case) -> Iterator[tuple[tuple[Script, Row], tuple[float, float]]]:
    for script, target, claim in case.scripts:
        if target is not None and claim is not None:
            kept = min(script.ended_at, claim[1]) - script.began_at
            yield (script, target), (script.began, script.began + max(0.0, kept.total_seconds()))


def _attempts_are_counted(case: Case) -> Iterator[str]:
    for target, planned in case.targets:
        name = f"{planned.marker} on {target.database_name} ({target.lifecycle})"
        begun, failed, lost = target.current_attempts, target.failed_attempts, target.lost_attempts
        claims = sum(move.new == "InProgress" for move in case.moves[target.id])
        scripts = [script for script, row, _ in case.scripts if row is target]
        last = {"Succeeded": {1}, "TimedOut": {1}, "Failed": {0}, "Skipped": {0}, "Canceled": {0, 1}}
        if begun - failed - lost not in last.get(target.lifecycle, set()) or begun != claims:
            yield f"{name}: {begun} attempts, {claims} claims, {failed} failed, {lost} lost"
        if failed > 1 + planned.retries or begun > 1 + planned.retries + lost:
            yield f"{name}: {begun} attempts ({failed} failed, {lost} lost) with {planned.retries} retries"
        if target.lifecycle == "Failed" and failed != 1 + planned.retries and lost < LOST_LIMIT:
            yield f"{name}: it gave up after {failed} failed attempts, with {planned.retries} retries"
        if len(scripts) > begun:
            yield f"{name}: {len(scripts)} scripts in {begun} attempts"


def _ends_are_honest(case: Case) -> Iterator[str]:
    scripts: dict[tuple[str, str, str, str], list[Script]] = defaultdict(list)
    for script in case.facts.scripts:
        scripts[script.run, script.marker, script.server, script.database].append(script)
    for target, planned in case.targets:
        where = target.server_name, target.database_name
        run, name = target.job_execution_id, f"{planned.marker} on {target.database_name}"
        ran = scripts[run, planned.marker, *where]
        done = (run, planned.marker, "end") in case.facts.effects[where]
        if target.lifecycle == "Succeeded" and not (done and any(script.complete for script in ran)):
            yield f"{name} Succeeded, but its script was not executed to its end"
        if target.lifecycle == "Succeeded" and target.database_name in planned.throwers | planned.overlong:
            yield f"{name} Succeeded, but its script can only fail"
        begun = any((run, planned.marker, phase) in case.facts.effects[where] for phase in ("begin", "end"))
        if not target.current_attempts and (begun or ran):
            yield f"{name} is {target.lifecycle} without an attempt, but its script ran"


def _skipped_only_under_overlap(case: Case) -> Iterator[str]:
    for target in case.facts.targets:
        if target.lifecycle == "Skipped" and not any(
            other.step_uid == target.step_uid
            and (other.server_name, other.database_name) == (target.server_name, target.database_name)
            and other.lifecycle != "Skipped"
            and other.create_time <= target.create_time <= other.end_time
            for other in case.facts.targets
        ):
            yield f"{target.database_name} of step {target.step_execution_id} was skipped without reason"


def _nothing_is_left(case: Case) -> Iterator[str]:
    for row in (*case.facts.steps, *case.facts.targets):
        if row.claim_token is not None or row.claimed_by is not None or row.lease_until is not None:
            yield f"{row.id} ({row.lifecycle}) still holds a claim"
    for row in case.facts.targets:
        if row.dispatch_time is not None:
            yield f"{row.id} ({row.lifecycle}) still holds a slot"


def _roll_ups_are_right(case: Case) -> Iterator[str]:
    runs = {run.id: run for run in case.facts.runs}
    for step, planned in case.steps:
        asked = runs[step.job_execution_id].cancel_request_time
        children = [row.lifecycle for row in _children(case, step)]
        if not children and step.lifecycle in {"Failed", "Canceled"}:
            continue
        # A step that had ended when the cancellation was asked for stays as it is. Whole milliseconds: both may be.
        possible = {_rolled_up(children, canceled=asked is not None and asked <= step.end_time)}
        if asked == step.end_time:
            possible.add(_rolled_up(children, canceled=False))
        if step.lifecycle not in possible:
            yield f"step {planned.marker} is {step.lifecycle}, its targets {sorted(set(children))}"


def _runs_go_through_their_steps(case: Case) -> Iterator[str]:
    for run in case.facts.runs:
        steps = [row for row in case.facts.steps if row.job_execution_id == run.id]
        ends = [row.lifecycle for row in steps]
        if run.lifecycle != _rolled_up(ends, canceled=run.cancel_request_time is not None):
            yield f"run {run.id} is {run.lifecycle}, its steps {ends}"
        wanted = len(case.job(run.id).steps) if run.lifecycle in {"Succeeded", "SucceededWithSkipped"} else len(steps)
        if [row.step_id for row in steps] != list(range(1, wanted + 1)):
            yield f"run {run.id} is {run.lifecycle} after steps {[row.step_id for row in steps]}"
        if any(end not in {"Succeeded", "SucceededWithSkipped"} for end in ends[:-1]):
            yield f"run {run.id} went on after a step that did not succeed: {ends}"


def _rolled_up(children: list[str], *, canceled: bool) -> str:
    if canceled:
        return "Canceled"
    for end in ("Canceled", "Failed", "TimedOut"):
        if end in children:
            return end
    return "SucceededWithSkipped" if {"Skipped", "SucceededWithSkipped"} & set(children) else "Succeeded"


def _way(moves: list[Move]) -> str:
    return " > ".join(move.new for move in moves) or "no state that was seen"


def _children(case: Case, step: Row) -> list[Row]:
    return [target for target, _ in case.targets if target.step_execution_id == step.id]


_CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    _planned_targets_are_those_of_the_group,
    _all_has_ended_once,
    _every_move_is_legal,
    _nothing_ends_before_its_children,
    _no_two_scripts_overlap,
    _scripts_run_within_their_claims,
    _capacity_holds,
    _max_parallelism_holds,
    _attempts_are_counted,
    _ends_are_honest,
    _skipped_only_under_overlap,
    _nothing_is_left,
    _roll_ups_are_right,
    _runs_go_through_their_steps,
)
