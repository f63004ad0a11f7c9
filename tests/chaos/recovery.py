"""How long it takes until all has ended after all worker processes were killed under full load; default settings."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from local.api_client import ApiClient
from local.sqlserver.journal import peak_overlap
from local.stack import Stack, StackOptions
from tests.chaos.facts import Script, read_rows, read_scripts
from tests.chaos.stage import AGENT, wait_for

SERVER = "manyserver.database.windows.net"
TARGETS, CAPACITY, SCRIPT_SECONDS, WORKERS = 300, 100, 5, 3
ALLOWED_SECONDS = 60.0
"""Without the scripts' own time. The platform's own recovery, the message's visibility timeout, is 600 s."""
OWN_SECONDS = float(-(-TARGETS // CAPACITY) * SCRIPT_SECONDS)
"""What the scripts that were left take at this capacity, the killed ones once more."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """seconds: from the kill until the run had ended. first: until the first script began again."""

    seconds: float
    first: float
    lifecycle: str
    lost: int
    scripts: list[Script]

    @property
    def peak(self) -> int:
        return peak_overlap((script.began, script.ended) for script in self.scripts)

    @property
    def good(self) -> bool:
        return (
            self.lifecycle == "Succeeded"
            and self.seconds <= ALLOWED_SECONDS + OWN_SECONDS
            and self.peak <= CAPACITY
            and self.lost > 0
        )

    def __str__(self) -> str:
        return (
            f"{WORKERS} worker processes were killed while {self.lost} of {TARGETS} targets ran"
            f" ({SCRIPT_SECONDS} s each, capacity {CAPACITY}): the first script began again after {self.first:.1f} s,"
            f" all had ended ({self.lifecycle}) after {self.seconds:.1f} s; allowed are {ALLOWED_SECONDS:g} s and the"
            f" scripts' own {OWN_SECONDS:g} s."
        )


def measure() -> Recovery:
    """Run the scenario; about a minute and a half."""
    names = tuple(f"many{number}" for number in range(TARGETS))
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        options = StackOptions(folder=Path(folder), databases=(), servers={SERVER: names}, workers=WORKERS)
        with Stack(options) as stack:
            return _measure(stack, Path(folder) / "jobs.db")


def _measure(stack: Stack, job_database: Path) -> Recovery:
    assert stack.emulator is not None
    control = stack.emulator.control
    api = ApiClient(stack.endpoint(), AGENT)
    try:
        _define(api, stack)
        api.call("POST", "/jobs/recovery/start")
        assert wait_for(lambda: len(control.running(text="-- recovery")) == CAPACITY, 60), "The load did not build up."
    finally:
        api.close()
    killed = time.monotonic()
    for pid in stack.worker_pids:
        os.kill(pid, signal.SIGKILL)

    def state() -> str:
        return str(read_rows(job_database, "SELECT lifecycle FROM job_executions")[0].lifecycle)

    assert wait_for(lambda: state() not in {"Created", "InProgress"}, 600), "The run did not end within 600 s."
    seconds = time.monotonic() - killed
    scripts = read_scripts(stack.emulator, "-- recovery")
    return Recovery(
        seconds=seconds,
        first=min((script.began - killed for script in scripts if script.began > killed), default=seconds),
        lifecycle=state(),
        lost=read_rows(job_database, "SELECT SUM(lost_attempts) AS lost FROM target_executions")[0].lost,
        scripts=scripts,
    )


def _define(api: ApiClient, stack: Stack) -> None:
    endpoint = stack.endpoint()
    api.put_agent("westeurope", endpoint["job_database_name"])
    api.put("/credentials/admin", {"username": endpoint["sql"]["user"], "password": endpoint["sql"]["password"]})
    admin = f"{api.agent}/credentials/admin"
    members = [{"type": "SqlServer", "serverName": SERVER, "refreshCredential": admin}]
    api.put("/targetGroups/all", {"members": members})
    api.put("/jobs/recovery", {})
    script = (
        "-- recovery part 1 of 1\nDECLARE @run uniqueidentifier = '$(job_execution_id)';\n"
        f"WAITFOR DELAY '00:00:{SCRIPT_SECONDS:02}';"
    )
    step = {"targetGroup": f"{api.agent}/targetGroups/all", "credential": admin, "action": {"value": script}}
    api.put("/jobs/recovery/steps/step1", step)
