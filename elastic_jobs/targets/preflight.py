"""Tries a target group out without running anything: what would fail, at which point, and the way out.

Per server once: allow-list, DNS, TCP, TLS. Per database: login, database open, permission to run. All of it in
parallel, bounded in number and in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.targets import Member, TargetDatabase
from elastic_jobs.errors import ElasticJobsError, JobDatabaseUnavailableError, ServerNotAllowedError
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.errors import CANNOT_OPEN_DATABASE, TargetError, read, redact
from elastic_jobs.targets.group import EnumerationError, GroupResolver, LoginFor
from elastic_jobs.targets.network import Check, CheckResult, Status, network_checks
from elastic_jobs.targets.parallel import in_parallel
from elastic_jobs.targets.stop import Stopped, StopSignal

CHECKS_AT_ONCE = 16
TIME_LIMIT_SECONDS = 60.0
LOGIN_TIMEOUT_SECONDS = 10
QUERY_TIMEOUT_SECONDS = 10

_PERMISSIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE", "ALTER", "CREATE TABLE", "CONTROL")
_OUTSIDE = (Check.ALLOWED, Check.DNS, Check.TCP, Check.TLS)
_INSIDE = (Check.LOGIN, Check.DATABASE, Check.PERMISSION)
_WAKING_UP = frozenset({40613, 42108, 42109})


@dataclass(frozen=True)
class TargetReport:
    """All checks of one database in the order in which a job would pass them."""

    server_name: str
    database_name: str
    checks: tuple[CheckResult, ...]

    @property
    def is_ready(self) -> bool:
        """Nothing stands in the way; a warning does not."""
        return all(check.status in {Status.OK, Status.WARNING} for check in self.checks)


@dataclass(frozen=True)
class PreflightReport:
    """problems: why the group could not be resolved; then there are no targets."""

    targets: tuple[TargetReport, ...]
    problems: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        return not self.problems and all(target.is_ready for target in self.targets)


class Preflight:
    """The service behind "would this work?". Holds no state; safe to use from many threads."""

    def __init__(
        self,
        connector: Connector,
        *,
        login_timeout_seconds: int = LOGIN_TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector, self._monotonic = connector, monotonic
        self._login_timeout = login_timeout_seconds

    def check_group(
        self,
        members: Sequence[Member],
        refresh_login: LoginFor,
        job_login: Callable[[], Login],
        *,
        stop: StopSignal | None = None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> PreflightReport:
        """Resolve the group as a run would do it now, and check all that comes out of it.

        refresh_login: the login for a refresh credential's name. job_login: the login that scripts run as.
        time_limit_seconds: for everything; what was not finished by then says so.

        Raises:
            JobDatabaseUnavailableError: the logins are in there.
            Stopped: ``stop`` was given.
        """
        signal = stop or StopSignal()
        until = self._monotonic() + time_limit_seconds
        resolver = GroupResolver(self._connector, retry_seconds=())
        (found,) = in_parallel(
            [members],
            lambda group: resolver.resolve(group, refresh_login, stop=signal),
            at_most=1,
            stop=signal,
            name="preflight of a group",
            seconds=time_limit_seconds,
        )
        if found is None:
            return PreflightReport((), (f"The group was not resolved within {time_limit_seconds:g} s.",))
        if isinstance(found, EnumerationError):
            return PreflightReport((), tuple(str(failure.error) for failure in found.failures))
        if isinstance(found, Exception):
            raise found
        try:
            login = job_login()
        except JobDatabaseUnavailableError:
            raise
        except ElasticJobsError as error:
            return PreflightReport((), (str(error),))
        targets = [*found.targets, *(refused.target for refused in found.refused)]
        left = max(0.0, until - self._monotonic())
        return PreflightReport(tuple(self.check(targets, login, stop=signal, time_limit_seconds=left)))

    def check(
        self,
        targets: Sequence[TargetDatabase],
        login: Login,
        *,
        stop: StopSignal | None = None,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> list[TargetReport]:
        """Check these databases, each once, in their order.

        Raises:
            Stopped: ``stop`` was given.
        """
        signal = stop or StopSignal()
        until = self._monotonic() + time_limit_seconds
        network = self._servers(targets, login, signal, time_limit_seconds)
        reachable = [target for target in targets if all(c.status is Status.OK for c in network[target.server_name])]
        inside = self._databases(reachable, login, signal, max(0.0, until - self._monotonic()))
        skipped = tuple(_skipped(check) for check in _INSIDE)
        return [
            TargetReport(
                target.server_name,
                target.database_name,
                (*network[target.server_name], *inside.get(target.key, skipped)),
            )
            for target in targets
        ]

    def _servers(
        self, targets: Sequence[TargetDatabase], login: Login, stop: StopSignal, seconds: float
    ) -> dict[str, tuple[CheckResult, ...]]:
        servers = list(dict.fromkeys(target.server_name for target in targets))
        results = in_parallel(
            servers,
            lambda server: network_checks(self._connector, server, login, self._monotonic),
            at_most=CHECKS_AT_ONCE,
            stop=stop,
            name="preflight of a server",
            seconds=seconds,
        )
        return {server: _or_late(found, _OUTSIDE) for server, found in zip(servers, results, strict=True)}

    def _databases(
        self, targets: Sequence[TargetDatabase], login: Login, stop: StopSignal, seconds: float
    ) -> dict[tuple[str, str], tuple[CheckResult, ...]]:
        results = in_parallel(
            targets,
            lambda target: self._database_checks(target, login, stop),
            at_most=CHECKS_AT_ONCE,
            stop=stop,
            name="preflight of a database",
            seconds=seconds,
        )
        return {target.key: _or_late(found, _INSIDE) for target, found in zip(targets, results, strict=True)}

    def _database_checks(self, target: TargetDatabase, login: Login, stop: StopSignal) -> tuple[CheckResult, ...]:
        began = self._monotonic()
        try:
            # A paused database is woken up by this, but not waited for: the other checks have their time too.
            connection = self._connector.connect(
                target.server_name,
                target.database_name,
                login,
                stop=stop,
                login_timeout_seconds=self._login_timeout,
                patient=False,
            )
        except Stopped:
            raise
        except ElasticJobsError as error:
            return _not_opened(error, self._since(began))
        opened = self._since(began)
        try:
            connection.timeout = QUERY_TIMEOUT_SECONDS
            permission = self._permission(connection, target, login)
        finally:
            connection.close()
        return (
            CheckResult(Check.LOGIN, Status.OK, opened, f"The server knows {login}."),
            CheckResult(Check.DATABASE, Status.OK, opened, "The database is open."),
            permission,
        )

    def _permission(self, connection: pyodbc.Connection, target: TargetDatabase, login: Login) -> CheckResult:
        """Runs a harmless statement, and asks what the user may do in the whole database."""
        began = self._monotonic()
        wanted = ", ".join(f"HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', '{name}')" for name in _PERMISSIONS)
        try:
            row = connection.cursor().execute(f"SELECT {wanted}").fetchone()  # the names are ours
        except pyodbc.Error as error:
            reason = redact(read(error).labelled, login.secrets())
            sentence = f"A statement that reads nothing fails in database '{target.database_name}': {reason}"
            return CheckResult(Check.PERMISSION, Status.FAILED, self._since(began), sentence)
        held = [name for name, has in zip(_PERMISSIONS, row or (), strict=False) if has]
        if held:
            sentence = f"Statements run; {login} has {', '.join(held)} in the whole database."
            return CheckResult(Check.PERMISSION, Status.OK, self._since(began), sentence)
        sentence = (
            f"Statements run, but {login} has no permission that counts for the whole database; if scripts need more"
            " than is granted on single schemas and objects, grant it, for example with ALTER ROLE db_ddladmin."
        )
        return CheckResult(Check.PERMISSION, Status.WARNING, self._since(began), sentence)

    def _since(self, began: float) -> int:
        return round((self._monotonic() - began) * 1000)


def _not_opened(error: ElasticJobsError, milliseconds: int) -> tuple[CheckResult, ...]:
    """Which of the two it was that failed: the login, or opening the database."""
    number = error.number if isinstance(error, TargetError) else None
    if number in _WAKING_UP:
        asleep = f"{error} It is paused or failing over; a job waits for it, and this has begun to wake it up."
        return (
            CheckResult(Check.LOGIN, Status.SKIPPED, 0, "The server says so only when the database is there."),
            CheckResult(Check.DATABASE, Status.FAILED, milliseconds, asleep),
            _skipped(Check.PERMISSION),
        )
    if number in CANNOT_OPEN_DATABASE:
        return (
            CheckResult(Check.LOGIN, Status.OK, milliseconds, "The server knows the login."),
            CheckResult(Check.DATABASE, Status.FAILED, milliseconds, str(error)),
            _skipped(Check.PERMISSION),
        )
    transient = isinstance(error, TargetError) and error.error_class in {ErrorClass.TRANSIENT, ErrorClass.THROTTLED}
    failed_check = Check.DATABASE if transient else Check.LOGIN
    failed = CheckResult(failed_check, Status.FAILED, milliseconds, str(error))
    if failed_check is Check.LOGIN:
        return failed, _skipped(Check.DATABASE), _skipped(Check.PERMISSION)
    return _skipped(Check.LOGIN), failed, _skipped(Check.PERMISSION)


def _or_late(found: tuple[CheckResult, ...] | Exception | None, checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    if isinstance(found, tuple):
        return found
    if found is None:
        sentence = "This was not finished within the time limit; check fewer targets, or allow more time."
    elif isinstance(found, ServerNotAllowedError):
        sentence = str(found)
    else:
        raise found
    return (
        CheckResult(checks[0], Status.FAILED, 0, sentence),
        *(_skipped(check) for check in checks[1:]),
    )


def _skipped(check: Check) -> CheckResult:
    return CheckResult(check, Status.SKIPPED, 0, "Not tried, because of what failed before.")
