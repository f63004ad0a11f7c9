"""The end of one attempt, recorded as workers do it."""

from __future__ import annotations

from sqlalchemy import Connection

from elastic_jobs.domain.outcome import AttemptResult
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.executions.claims import Claimant, TargetClaim
from elastic_jobs.jobdb.executions.outcomes import Recorded
from elastic_jobs.jobdb.executions.recording import Ending, record_all


def record(
    connection: Connection,
    database: JobDatabase,
    claim: TargetClaim,
    result: AttemptResult,
    policy: RetryPolicy,
    *,
    max_parallelism: int | None = None,
    claimant: Claimant | None = None,
) -> Recorded | None:
    """What became of the target; None when the claim was lost."""
    ending = Ending(claim=claim, result=result, policy=policy, max_parallelism=max_parallelism, claimant=claimant)
    return record_all(connection, database, [ending])[0]
