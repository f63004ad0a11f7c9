"""A plan and what came of it: which row belongs to which step of the plan, and which script to which claim."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from tests.chaos.facts import Facts, Move, Row, Script
from tests.chaos.plan import JobPlan, Plan, StepPlan

TOLERANCE = timedelta(milliseconds=100)
"""Between the clock of the job database (whole milliseconds, read when a statement begins) and the journal's."""

Claim = tuple[datetime, datetime]
"""From when to when a worker held a target."""


class Case:
    """What the laws are asked about."""

    def __init__(self, plan: Plan, facts: Facts) -> None:
        self.plan, self.facts = plan, facts
        self._jobs = {job.name: job for job in plan.jobs}

    def job(self, run_id: str) -> JobPlan:
        """The job of a run."""
        return self._jobs[self.plan.runs[UUID(run_id)]]

    @cached_property
    def moves(self) -> dict[str, list[Move]]:
        """The changes of state of each row, in order."""
        moves: dict[str, list[Move]] = defaultdict(list)
        for move in self.facts.moves:
            moves[move.row_id].append(move)
        return moves

    @cached_property
    def steps(self) -> list[tuple[Row, StepPlan]]:
        return [(row, self.job(row.job_execution_id).steps[row.step_id - 1]) for row in self.facts.steps]

    @cached_property
    def targets(self) -> list[tuple[Row, StepPlan]]:
        steps = {row.id: planned for row, planned in self.steps}
        return [(row, steps[row.step_execution_id]) for row in self.facts.targets]

    @cached_property
    def scripts(self) -> list[tuple[Script, Row | None, Claim | None]]:
        """Each script execution with the target it was for and the claim under which it began."""
        targets = {
            (row.job_execution_id, planned.marker, row.server_name, row.database_name): row
            for row, planned in self.targets
        }
        found: list[tuple[Script, Row | None, Claim | None]] = []
        for script in self.facts.scripts:
            row = targets.get((script.run, script.marker, script.server, script.database))
            found.append((script, row, None if row is None else self._claim(row, script)))
        return found

    def _claim(self, target: Row, script: Script) -> Claim | None:
        for begun, ended in reversed(self._claims(target)):
            if begun <= script.began_at + TOLERANCE:
                return (begun, ended) if script.began_at <= ended + TOLERANCE else None
        return None

    def _claims(self, target: Row) -> list[Claim]:
        claims: list[Claim] = []
        begun: datetime | None = None
        for move in self.moves[target.id]:
            if begun is not None:
                claims.append((begun, move.at))
            begun = move.at if move.new == "InProgress" else None
        return claims
