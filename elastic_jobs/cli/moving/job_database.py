"""Reads the views ``jobs.*`` of a job database: of an Azure agent, or of one of ours on SQL Server or SQLite.

Nothing is written. A login needs SELECT on the schema ``jobs``: the role ``jobs_reader`` has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition, credential_uses, key
from elastic_jobs.cli.moving.source import HISTORY, Finding, Outcome, Source, SourceCredential, SourceError
from elastic_jobs.domain.model import Output, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.domain.schedule import DEFAULT_START, IntervalType, Schedule
from elastic_jobs.domain.targets import Member, MembershipType, TargetType

Row = Mapping[str, Any]
DRIVER = "ODBC Driver 18 for SQL Server"
"""Of a URL that names none."""
_LAST = {MembershipType.INCLUDE: "", MembershipType.EXCLUDE: "x"}
_PASSWORD = re.compile(r"(?i)(^|;)\s*(pwd|password)\s*=")
_USER = re.compile(r"(?i)(^|;)\s*(uid|user id)\s*=")


@dataclass(frozen=True)
class Place:
    """Where a job database is. ``needs_password``: a user is named whose password has to be given apart."""

    url: URL
    odbc: str | None
    needs_password: bool


def parse_place(given: str) -> Place:
    """A SQLAlchemy URL or an ODBC connection string, without a password in it.

    Raises:
        UsageError: it is neither, holds a password, or names a SQLite file that is not there.
    """
    if "://" not in given:
        if "=" not in given:
            raise UsageError("The job database must be a URL (mssql+pyodbc://..., sqlite:///...) or an ODBC string.")
        if _PASSWORD.search(given):
            raise _with_password()
        return Place(URL.create("mssql+pyodbc"), given, bool(_USER.search(given)))
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise UsageError("The job database's URL cannot be read; write mssql+pyodbc://... or sqlite:///...") from error
    if url.password is not None or any(_PASSWORD.match(f"{name}=") for name in url.query):
        raise _with_password()
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "")
        if not file.is_file():
            raise UsageError(f"There is no file {file}; name the job database's as sqlite:///path/to/jobs.db.")
        return Place(
            URL.create(
                "sqlite", database=f"file:{quote(file.resolve().as_posix())}", query={"mode": "ro", "uri": "true"}
            ),
            None,
            False,
        )
    if url.get_backend_name() != "mssql":
        raise UsageError(
            "A job database is on SQL Server, Azure SQL or SQLite; write mssql+pyodbc://... or sqlite:///..."
        )
    if url.host and "driver" not in url.query:
        url = url.update_query_dict({"driver": DRIVER})
    return Place(url, None, url.username is not None)


def _with_password() -> UsageError:
    return UsageError(
        "A password must not stand in the command, where others can see it; leave it out and set "
        "ELASTIC_JOBS_SOURCE_PASSWORD, or type it when asked."
    )


def read_job_database(place: Place, password: str | None) -> Source:
    """All that a job database defines.

    Raises:
        SourceError: it cannot be opened, or is no job database.
    """
    engine = _engine(place, password)
    where = place.url.database if place.odbc is None else "behind the ODBC string"
    try:
        with engine.connect() as connection:
            return _Views(connection).read(f"job database {where}")
    except (SQLAlchemyError, OSError) as error:
        raise SourceError(f"The job database {where} cannot be read: {_cause(error, password)}") from error
    finally:
        engine.dispose()


def _engine(place: Place, password: str | None) -> Engine:
    if place.odbc is not None:
        secret = "" if password is None else ";PWD={" + password.replace("}", "}}") + "}"
        url = place.url.update_query_dict({"odbc_connect": place.odbc.rstrip(";") + secret})
    else:
        url = place.url if password is None else place.url.set(password=password)
    try:
        return create_engine(url, hide_parameters=True)
    except (ImportError, SQLAlchemyError) as error:
        raise SourceError(f"The job database cannot be opened: {_cause(error, password)}") from error


def _cause(error: Exception, password: str | None) -> str:
    said = str(getattr(error, "orig", None) or error).splitlines()[0]
    return said.replace(password, "***") if password else said


class _Views:
    """Reads the views in one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._findings: list[Finding] = []

    def read(self, called: str) -> Source:
        groups, jobs = self._groups(), self._jobs()
        definitions = Definitions(groups=tuple(groups), jobs=tuple(jobs)).sorted()
        return Source(
            called=called,
            definitions=definitions,
            credentials=self._credentials(definitions),
            findings=(*self._findings, HISTORY),
        )

    def _rows(self, view: str, order: str) -> list[Row]:
        # Names of this module's own; the views of older services have fewer columns, so all are asked for.
        name = f"jobs_{view}" if self._sqlite else f"jobs.{view}"
        statement = text(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def _groups(self) -> Iterable[GroupDefinition]:
        members: dict[str, list[Member]] = {}
        for row in self._rows("target_group_members", "target_group_name"):
            name = str(row["target_group_name"])
            member = self._understood("target group", name, lambda row=row: _member(row))  # type: ignore[misc]
            if member is not None:
                members.setdefault(key(name), []).append(member)
        broken = {key(finding.name) for finding in self._findings}
        for row in self._rows("target_groups", "target_group_name"):
            name = str(row["target_group_name"])
            if key(name) not in broken:
                own = sorted(members.get(key(name), ()), key=_place_of)
                yield GroupDefinition(name=name, members=tuple(own))

    def _jobs(self) -> Iterable[JobDefinition]:
        steps: dict[str, list[StepDefinition]] = {}
        for row in self._rows("jobsteps", "job_name, step_id"):
            steps.setdefault(str(row["job_id"]), []).append(self._step(row))
        for row in self._rows("jobs", "job_name"):
            name = str(row["job_name"])
            schedule = self._understood("job", name, lambda row=row: _schedule(row))  # type: ignore[misc]
            if schedule is not None:
                own = tuple(steps.get(str(row["job_id"]), ()))
                yield JobDefinition(name=name, description=row["description"] or "", schedule=schedule, steps=own)

    def _understood(self, kind: str, name: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (ValueError, TypeError) as error:
            reason = f"It cannot be understood: {error}"
            self._findings.append(Finding(kind=kind, name=name, outcome=Outcome.NOT_MOVED, reason=reason))
            return None

    def _step(self, row: Row) -> StepDefinition:
        multiplier = float(row["retry_interval_backoff_multiplier"])
        return StepDefinition(
            name=str(row["step_name"]),
            command=str(row["command"]),
            target_group_name=str(row["target_group_name"]),
            credential_name=row["credential_name"] or None,
            retry=RetryPolicy(
                attempts=row["retry_attempts"],
                initial_interval_seconds=row["initial_retry_interval_seconds"],
                maximum_interval_seconds=row["maximum_retry_interval_seconds"],
                # A real has seven digits; those behind them are none of anybody's.
                backoff_multiplier=multiplier if self._sqlite else float(f"{multiplier:.7g}"),
            ),
            timeout_seconds=row["step_timeout_seconds"],
            output=_output(row),
            max_parallelism=row.get("max_parallelism"),
        )

    def _credentials(self, definitions: Definitions) -> tuple[SourceCredential, ...]:
        found = {
            key(use.credential): SourceCredential(name=use.credential)
            for use in credential_uses(definitions)
            if use.credential is not None
        }
        for name, user in self._scoped_credentials():
            folded = key(name)
            found[folded] = replace(found.get(folded) or SourceCredential(name=name), username=user or None)
        return tuple(found[name] for name in sorted(found))

    def _scoped_credentials(self) -> list[tuple[str, str]]:
        if self._sqlite:
            return []
        try:
            with self._connection.begin_nested():
                rows = self._connection.execute(
                    text("SELECT name, credential_identity FROM sys.database_scoped_credentials ORDER BY name")
                )
                return [(str(name), str(user or "")) for name, user in rows]
        except SQLAlchemyError:
            return []  # their names also stand in the steps and members that use them


def _place_of(member: Member) -> tuple[str, ...]:
    """The views do not tell the order of members. What is left out stands last, as people write it."""
    names = (member.server_name, member.elastic_pool_name, member.database_name, member.shard_map_name)
    return (_LAST[member.membership_type], *(name or "" for name in names))


def _member(row: Row) -> Member:
    return Member(
        target_type=_spelled(TargetType, row["target_type"]),
        server_name=str(row["server_name"]),
        membership_type=_spelled(MembershipType, row["membership_type"]),
        database_name=row["database_name"] or None,
        elastic_pool_name=row["elastic_pool_name"] or None,
        shard_map_name=row.get("shard_map_name") or None,
        refresh_credential_name=row["refresh_credential_name"] or None,
    )


def _spelled(kind: Any, word: str) -> Any:
    known = {each.value.lower(): each for each in kind}
    if word.lower() not in known:
        raise ValueError(f"'{word}' is not known")
    return known[word.lower()]


def _schedule(row: Row) -> Schedule:
    start = _instant(row["schedule_start_time"])
    kind: IntervalType = _spelled(IntervalType, row["schedule_interval_type"])
    return Schedule(
        interval_type=kind,
        interval_count=1 if kind is IntervalType.ONCE else int(row["schedule_interval_count"]),
        start_time=start if start.year > 1 else DEFAULT_START,
        end_time=_instant(row["schedule_end_time"]),
        enabled=bool(row["enabled"]),
    )


def _instant(value: datetime | str) -> datetime:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=UTC)


def _output(row: Row) -> Output | None:
    if not row["output_server_name"]:
        return None
    subscription = row["output_subscription_id"]
    return Output(
        server_name=row["output_server_name"],
        database_name=row["output_database_name"],
        table_name=row["output_table_name"],
        schema_name=row["output_schema_name"] or "dbo",
        credential_name=row["output_credential_name"] or None,
        subscription_id=UUID(str(subscription)) if subscription else None,
        resource_group_name=row["output_resource_group_name"] or None,
    )
