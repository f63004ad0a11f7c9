"""What the pictures show of the past: a day of runs with failures and retries, and one that goes on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle
from elastic_jobs.domain.targets import TargetDatabase
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions, target_messages
from elastic_jobs.jobdb.tables import job_steps, jobs

DEADLOCK = (
    1205,
    "Msg 1205, Level 13, State 51: Transaction (Process ID {id}) was deadlocked on lock resources with another process "
    "and has been chosen as the deadlock victim. Rerun the transaction.",
)
FULL = (
    40544,
    "Msg 40544, Level 17, State 2: The database '{name}' has reached its size quota. Partition or delete data, drop "
    "indexes, or consult the documentation for possible resolutions.",
)
LOCKED_OUT = (4060, 'Msg 4060, Level 11, State 1: Cannot open database "{name}" requested by the login.')


@dataclass(frozen=True, kw_only=True)
class End:
    """How a target ended or stands. error: number and text of the last error; attempts: how many it took."""

    state: Lifecycle
    seconds: float = 1.0
    attempts: int = 1
    error: tuple[int, str] | None = None


class Past:
    """Writes runs into a job database. All that is random comes from ``seed``, ids too."""

    def __init__(self, database: JobDatabase, now: datetime, *, seed: int = 8) -> None:
        self._database, self._now = database, now
        self.random = random.Random(seed)  # noqa: S311  # for pictures

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def run(
        self,
        job: str,
        created: datetime,
        steps: Sequence[Sequence[tuple[TargetDatabase, End]]],
        *,
        state: Lifecycle,
        scheduled: bool = True,
    ) -> UUID:
        """A run whose steps had these targets, each with its end; the last step may go on."""
        run_id = self.new_id()
        with self._database.write() as connection:
            job_id, version = connection.execute(select(jobs.c.id, jobs.c.version).where(jobs.c.name == job)).one()
            defined = connection.execute(
                select(job_steps.c.name, job_steps.c.step_uid)
                .where(job_steps.c.job_id == job_id, job_steps.c.job_version == version)
                .order_by(job_steps.c.step_id)
            ).all()
            row = {"job_id": job_id, "job_version": version}
            begun, rows, ended = created + timedelta(seconds=0.4), [], created
            for number, (targets, step) in enumerate(zip(steps, defined, strict=False), 1):
                planned, ended = self._targets(targets, begun)
                rows.append((number, step, planned, begun, ended))
                begun = ended
            message = _message(state)
            values = _lived(state, created, created + timedelta(seconds=0.4), ended, message)
            connection.execute(
                insert(job_executions).values(
                    id=run_id, job_name=job, scheduled_for=created if scheduled else None, **row, **values
                )
            )
            for number, step, planned, start, end in rows:
                self._step(connection, run_id, row, number, step, planned, start, end)
        return run_id

    def _step(
        self,
        connection: Connection,
        run_id: UUID,
        row: dict[str, Any],
        number: int,
        step: Any,
        planned: list[dict[str, Any]],
        start: datetime,
        end: datetime,
    ) -> None:
        states = {target["lifecycle"] for target in planned}
        state = Lifecycle.SUCCEEDED
        if states & ACTIVE:
            state = Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS
        elif Lifecycle.FAILED in states:
            state = Lifecycle.FAILED
        step_id = self.new_id()
        connection.execute(
            insert(step_executions).values(
                id=step_id,
                job_execution_id=run_id,
                step_id=number,
                step_name=step.name,
                planned_targets=len(planned),
                current_attempts=1,
                **row,
                **_lived(state, start, start, end, _message(state)),
            )
        )
        shared = {
            "step_execution_id": step_id,
            "job_execution_id": run_id,
            "job_id": row["job_id"],
            "step_uid": step.step_uid,
        }
        for target in planned:
            said = target.pop("said")
            connection.execute(insert(target_executions).values(**shared, **target))
            for ordinal, message in enumerate(said, 1):
                connection.execute(
                    insert(target_messages).values(target_execution_id=target["id"], ordinal=ordinal, **message)
                )

    def _targets(
        self, targets: Iterable[tuple[TargetDatabase, End]], planned: datetime
    ) -> tuple[list[dict[str, Any]], datetime]:
        """The rows of targets, which start in their order as slots come free, and when the last of them ended."""
        rows, last = [], planned
        free = [planned + timedelta(seconds=0.2)] * 12
        for turn, (target, end) in enumerate(targets, 1):
            free.sort()
            start = free[0]
            stop = start + timedelta(seconds=end.seconds)
            waits = end.state is Lifecycle.CREATED
            if end.state is Lifecycle.IN_PROGRESS:
                start, stop = self._now - timedelta(seconds=end.seconds), self._now
            if not waits:
                free[0] = stop
            attempt = start if end.attempts == 1 else start + (stop - start) * 0.7
            rows.append(self._target(target, end, turn, (planned, start, attempt, stop)))
            last = max(last, stop if not waits else last)
        return rows, last

    def _target(
        self, target: TargetDatabase, end: End, turn: int, times: tuple[datetime, datetime, datetime, datetime]
    ) -> dict[str, Any]:
        planned, start, attempt, stop = times
        waits, runs = end.state is Lifecycle.CREATED, end.state is Lifecycle.IN_PROGRESS
        again = end.state is Lifecycle.WAITING_FOR_RETRY
        text = "" if end.error is None else end.error[1].format(name=target.database_name, id=50 + turn)
        message = text or _message(end.state)
        if again:
            message = f"{text} Retry {end.attempts} of 5 begins after 20 s."
        held = {"dispatch_time": start, "claim_token": self.new_id(), "claimed_by": self.new_id(), "lease_until": stop}
        return {
            "id": self.new_id(),
            "server_name": target.server_name,
            "database_name": target.database_name,
            "elastic_pool_name": target.elastic_pool_name,
            "turn": turn,
            "admitted": True,
            "current_attempts": 0 if waits else end.attempts,
            "current_attempt_start_time": None if waits else attempt,
            "next_attempt_start_time": self._now + timedelta(seconds=12) if again else None,
            "error_number": None if end.error is None else end.error[0],
            **_lived(end.state, planned, None if waits else start, stop, None if waits else message),
            **(held if runs else {}),
            "said": [] if waits or runs else self._said(end, text),
        }

    def _said(self, end: End, text: str) -> list[dict[str, Any]]:
        said = []
        for attempt in range(1, end.attempts + 1):
            failed = end.error is not None and (attempt < end.attempts or end.state is not Lifecycle.SUCCEEDED)
            base = {"attempt": attempt, "batch": 1, "number": None, "row_count": None, "text": None}
            said.append({**base, "kind": "message", "text": "Checked 214 indexes; 17 of them are fragmented."})
            if failed and end.error is not None:
                said.append({**base, "kind": "error", "number": end.error[0], "text": text})
            else:
                said.append({**base, "kind": "rowcount", "row_count": self.random.randint(1, 9000)})
                said.append({**base, "kind": "message", "text": "Done."})
        return said


def _lived(
    state: Lifecycle, created: datetime, start: datetime | None, end: datetime, message: str | None
) -> dict[str, Any]:
    active = state in ACTIVE
    return {
        "lifecycle": state,
        "is_active": int(active),
        "create_time": created,
        "start_time": start,
        "end_time": None if active else end,
        "last_message": message,
    }


def _message(state: Lifecycle) -> str:
    return {
        Lifecycle.SUCCEEDED: "Succeeded.",
        Lifecycle.FAILED: "Failed: not all targets succeeded.",
        Lifecycle.CANCELED: "Canceled on request.",
        Lifecycle.IN_PROGRESS: "Running.",
    }.get(state, "")
