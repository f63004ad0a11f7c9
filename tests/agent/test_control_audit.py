"""Each manual command leaves one audit entry that tells who did what to which run, in which state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import update

from elastic_jobs.agent.control import Control
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.definitions import audit
from elastic_jobs.jobdb.tables import jobs
from tests.jobdb.conftest import Engine


def entries(engine: Engine) -> Sequence[audit.Entry]:
    """Entries of commands, oldest first."""
    with engine.database.read() as connection:
        found = audit.list_entries(connection, audit.AuditFilter(caller="bob"), limit=100)
    return list(reversed(found))


def test_a_start_names_the_job_its_version_and_the_run(engine: Engine, control: Control) -> None:
    engine.define()
    run = control.start_job("JOB1", request_id="r", caller="bob")
    assert control.start_job("job1", request_id="r", caller="bob") == run
    (entry,) = entries(engine)
    assert (entry.action, entry.resource) == ("start job", f"jobs/Job1/executions/{run}")
    assert entry.before is None
    assert entry.after == {"jobVersion": 1, "lifecycle": "Created"}


def test_a_cancel_tells_in_which_state_the_run_was(engine: Engine, control: Control) -> None:
    engine.define()
    run = control.start_job("job1", caller="ann")
    control.cancel_execution(run, caller="bob")
    control.cancel_execution(run, caller="bob")
    first, second = entries(engine)
    assert (first.action, first.resource) == ("cancel execution", f"jobs/Job1/executions/{run}")
    assert first.before == {"lifecycle": "Created"}
    assert second.before == {"lifecycle": "Canceled"}, "nothing was left to cancel"


def test_a_cancel_of_a_run_whose_job_is_gone(engine: Engine, control: Control) -> None:
    engine.define()
    run: UUID = control.start_job("job1", caller="ann")
    with engine.database.write() as connection:
        connection.execute(update(jobs).values(delete_time=datetime.now(UTC)))
    control.cancel_execution(run, caller="bob")
    (entry,) = entries(engine)
    assert (entry.resource, entry.before) == (f"executions/{run}", None)


def test_commands_that_fail_leave_nothing(engine: Engine, control: Control) -> None:
    with pytest.raises(NotFoundError):
        control.start_job("nothing", caller="bob")
    with pytest.raises(NotFoundError):
        control.cancel_execution(UUID(int=7), caller="bob")
    assert entries(engine) == []
