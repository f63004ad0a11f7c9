"""sys.*, INFORMATION_SCHEMA and a few management views: their columns, and how their rows are gathered.

A view's rows go into a statement as one JSON parameter, made when the statement runs, so nothing has to be kept in
step with the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..contract import Column, SqlType
from . import nodes, schema, types

if TYPE_CHECKING:
    from .session import EngineSession

Rows = list[tuple[Any, ...]]
_N128, _N60 = types.SYSNAME, types.nvarchar(60)
_INT, _BIT, _TINY, _SMALL, _DATE = types.INT, types.BIT, SqlType("tinyint"), SqlType("smallint"), types.DATETIME
_COMPARED = "SQL_Latin1_General_CP1_CI_AS"


@dataclass(frozen=True)
class SystemView:
    name: str
    columns: tuple[Column, ...]
    rows: Callable[[EngineSession], Rows]
    cached: bool  # whether the rows depend on nothing but the catalogue

    @property
    def sql(self) -> str:
        cells = ", ".join(f"json_extract(value, '$[{n}]') AS c{n + 1}" for n in range(len(self.columns)))
        return f"(SELECT {cells} FROM json_each(:s_{self.name.replace('.', '__')}))"


def _columns(*pairs: tuple[str, SqlType]) -> tuple[Column, ...]:
    return tuple(Column(name.rstrip("?"), sql_type, name.endswith("?")) for name, sql_type in pairs)


def find(name: nodes.ObjectName, database: str) -> SystemView | None:
    """The system view of that name, if it is one."""
    if name.schema.lower() not in ("sys", "information_schema"):
        return None
    view = VIEWS.get(f"{name.schema}.{name.name}".lower())
    if view is None or (name.database and name.database.lower() not in (database.lower(), "master")):
        return None
    return view


# ----------------------------------------------------------------------------------------------------- of the server


def _databases(session: EngineSession) -> Rows:
    from ..catalog import STATES

    def shown(state: str) -> tuple[int, str]:
        return (STATES[state], state) if state in STATES else (STATES["OFFLINE"], "OFFLINE")

    return [
        (d.name, d.database_id, d.create_date.replace(tzinfo=None).isoformat(" ", "milliseconds") + "000", 150,
        _COMPARED,
         0, "MULTI_USER", 0, *shown(d.state), 1, "ON", 1, 0)
        for d in session.visible_databases()
    ]  # fmt: skip


def _objectives(session: EngineSession) -> Rows:
    return [
        (d.database_id, d.edition, d.service_objective, d.elastic_pool)
        for d in session.visible_databases() if d.name != "master" or session.home.name == "master"
    ]  # fmt: skip


def _logins(session: EngineSession) -> Rows:
    return [
        (
            login.name,
            login.principal_id,
            "S",
            "SQL_LOGIN",
            0,
            login.create_date.replace(tzinfo=None).isoformat(" ", "microseconds"),
        )
        for login in session.server.logins()
    ]


def _sessions(session: EngineSession) -> Rows:
    others = list(session.server.sessions.values()) if session.principal.dbo else [session]
    return [
        (s.spid, "running" if s.running else "sleeping", s.application, s.host, s.login, s.login, s.home.database_id, 1,
         s.transaction_depth, s.logged_in)
        for s in others if s.home is session.home or session.home.name == "master"
    ]  # fmt: skip


def _requests(session: EngineSession) -> Rows:
    return [
        (s.spid, 0, "suspended" if s.owner.waiting is not None else "running", "SELECT", s.home.database_id,
        s.logged_in)
        for s in list(session.server.sessions.values())
        if s.running and (s is session or session.principal.dbo)
        and (s.home is session.home or session.home.name == "master")
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- of the database

_KINDS = {
    schema.Table: ("U ", "USER_TABLE"),
    schema.View: ("V ", "VIEW"),
    schema.Procedure: ("P ", "SQL_STORED_PROCEDURE"),
}


def _schema_id(session: EngineSession, name: str) -> int:
    return session.catalog.schemas[name.lower()][1]


def _objects(session: EngineSession, *kinds: type) -> Rows:
    rows: Rows = []
    for item in session.catalog.objects.values():
        if kinds and not isinstance(item, kinds):
            continue
        created = session.catalog.created.get(item.object_id, "")
        head = (item.name, item.object_id, None, _schema_id(session, item.schema), 0)
        rows.append((*head, *_KINDS[type(item)], created, created, 0))
    return rows


def _keys(session: EngineSession) -> Rows:
    rows: Rows = []
    for table, index in _all_indexes(session):
        if index.kind:
            text = "PRIMARY_KEY_CONSTRAINT" if index.kind == "PK" else "UNIQUE_CONSTRAINT"
            created = session.catalog.created.get(table.object_id, "")
            number = -(table.object_id * 64 + index.index_id)
            rows.append(
                (
                    index.name,
                    number,
                    table.object_id,
                    _schema_id(session, table.schema),
                    index.kind,
                    text,
                    created,
                    index.index_id,
                )
            )
    return rows


def _tables(session: EngineSession) -> list[schema.Table]:
    return [item for item in session.catalog.objects.values() if isinstance(item, schema.Table)]


def _all_columns(session: EngineSession) -> Rows:
    rows: Rows = []
    for table in _tables(session):
        for c in table.columns:
            rows.append(
                _column_row(table.object_id, c.name, c.column_id, c.type, c.nullable, c.identity is not None, c.default)
            )
    for view in session.catalog.objects.values():
        if isinstance(view, schema.View):
            for number, column in enumerate(session.view_columns(view), 1):
                rows.append(_column_row(view.object_id, column.name, number, column.type, column.nullable, False, None))
    return rows


def _column_row(
    owner: int, name: str, number: int, kind: SqlType, nullable: bool, identity: bool, default: Any
) -> tuple[Any, ...]:
    size, precision, scale = types.storage_facts(kind)
    type_id = types.TYPE_IDS[kind.name]
    collation = _COMPARED if types.family(kind) == "string" else None
    return (owner, name, number, type_id, type_id, size, precision, scale, collation, int(nullable), 0, 0,
    int(identity), 0,
            number if default is not None else 0)  # fmt: skip


def _all_indexes(session: EngineSession) -> list[tuple[schema.Table, schema.Index]]:
    return [(table, index) for table in _tables(session) for index in table.indexes]


def _indexes(session: EngineSession) -> Rows:
    rows: Rows = []
    for table in _tables(session):
        if not any(index.clustered for index in table.indexes):
            rows.append((table.object_id, None, 0, 0, "HEAP", 0, 0, 0, 0, 0, 0))
        for i in table.indexes:
            kind = (1, "CLUSTERED") if i.clustered else (2, "NONCLUSTERED")
            rows.append((table.object_id, i.name, i.index_id, *kind, int(i.unique), int(i.kind == "PK"),
            int(i.kind == "UQ"),
                         0, 0, int(i.filtered)))  # fmt: skip
    return rows


def _index_columns(session: EngineSession) -> Rows:
    rows: Rows = []
    for table, index in _all_indexes(session):
        named = [(name, descending, False) for name, descending in index.columns]
        named += [(name, False, True) for name in index.included]
        for number, (name, descending, included) in enumerate(named, 1):
            column = table.column(name)
            ordinal = 0 if included else number
            rows.append(
                (
                    table.object_id,
                    index.index_id,
                    number,
                    column.column_id if column else 0,
                    ordinal,
                    int(descending),
                    int(included),
                )
            )
    return rows


def _schemas(session: EngineSession) -> Rows:
    return [(name, number, 1) for name, number in session.catalog.schemas.values()]


def _types(_: EngineSession) -> Rows:
    rows: Rows = []
    for name, type_id in types.TYPE_IDS.items():
        kind = SqlType(name, 8000, 38, 38) if name in ("decimal", "numeric") else types.make(name)
        size, precision, scale = types.storage_facts(kind)
        size = {"string": 8000, "binary": 8000}.get(types.family(kind), size)
        collation = _COMPARED if types.family(kind) == "string" else None
        rows.append((name, type_id, type_id, 4, size, precision, scale, collation, 1, 0))
    rows.append(("sysname", 231, 256, 4, 256, 0, 0, _COMPARED, 0, 0))
    return rows


def _principals(session: EngineSession) -> Rows:
    texts = {"S": "SQL_USER", "E": "EXTERNAL_USER", "R": "DATABASE_ROLE"}
    described = {0: "NONE", 1: "INSTANCE", 2: "DATABASE", 4: "EXTERNAL"}
    created = session.home.create_date.replace(tzinfo=None).isoformat(" ", "microseconds")
    return [
        (u.name, u.principal_id, u.kind, texts[u.kind], None if u.kind == "R" else "dbo", created, created,
         int(u.name in schema.FIXED_ROLES), u.authentication, described[u.authentication])
        for u in session.catalog.principals.values()
    ]  # fmt: skip


def _role_members(session: EngineSession) -> Rows:
    found = session.catalog.principals
    return [(found[role].principal_id, found[member].principal_id) for role, member in session.catalog.memberships]


def _modules(session: EngineSession) -> Rows:
    return [
        (i.object_id, i.text) for i in session.catalog.objects.values() if isinstance(i, schema.View | schema.Procedure)
    ]


def _info_tables(session: EngineSession) -> Rows:
    return [
        (session.database, item.schema, item.name, "VIEW" if isinstance(item, schema.View) else "BASE TABLE")
        for item in session.catalog.objects.values() if not isinstance(item, schema.Procedure)
    ]  # fmt: skip


def _info_columns(session: EngineSession) -> Rows:
    rows: Rows = []
    for item in session.catalog.objects.values():
        if isinstance(item, schema.Procedure):
            continue
        columns: Sequence[Any] = item.columns if isinstance(item, schema.Table) else session.view_columns(item)
        for number, c in enumerate(columns, 1):
            family, facts = types.family(c.type), types.storage_facts(c.type)
            length = c.type.length if family in ("string", "binary") else None
            precision, scale = (facts[1], facts[2]) if family in ("integer", "decimal", "float") else (None, None)
            rows.append((session.database, item.schema, item.name, c.name, number, None, "YES" if c.nullable else "NO",
                         c.type.name, length, precision, scale,
                         c.type.scale if family == "temporal" else None))  # fmt: skip
    return rows


def _partition_stats(session: EngineSession) -> Rows:
    return [(t.object_id, 0 if not t.indexes else 1, session.row_count(t)) for t in _tables(session)]


def _resource_stats(session: EngineSession) -> Rows:
    """The last intervals of an idle database: the emulator measures nothing, so it shows no load."""
    now = session.server.clock().replace(tzinfo=None, microsecond=0)
    ends = [(now - timedelta(seconds=15 * n)).isoformat(" ", "microseconds") for n in range(4)]
    return [(end, *["0.00"] * 7, 100) for end in ends]


_PERCENT = SqlType("decimal", precision=5, scale=2)
_OBJECT_COLUMNS = _columns(
    ("name", _N128), ("object_id", _INT), ("principal_id?", _INT), ("schema_id", _INT), ("parent_object_id", _INT),
    ("type", SqlType("char", length=2)), ("type_desc", _N60), ("create_date", _DATE), ("modify_date", _DATE),
    ("is_ms_shipped", _BIT),
)  # fmt: skip
_ALL = (
    SystemView("sys.databases", _columns(
        ("name", _N128), ("database_id", _INT), ("create_date", _DATE), ("compatibility_level", _TINY),
        ("collation_name?", _N128), ("user_access", _TINY), ("user_access_desc", _N60), ("is_read_only", _BIT),
        ("state", _TINY), ("state_desc", _N60), ("snapshot_isolation_state", _TINY), ("snapshot_isolation_state_desc",
        _N60),
        ("is_read_committed_snapshot_on", _BIT), ("is_auto_close_on", _BIT)), _databases, False),
    SystemView("sys.database_service_objectives", _columns(
        ("database_id", _INT), ("edition", _N128), ("service_objective", _N128), ("elastic_pool_name?", _N128)),
        _objectives, False),
    SystemView("sys.sql_logins", _columns(
        ("name", _N128), ("principal_id", _INT), ("type", SqlType("char", length=1)), ("type_desc", _N60),
        ("is_disabled", _BIT), ("create_date", _DATE)), _logins, False),
    SystemView("sys.dm_exec_sessions", _columns(
        ("session_id", _SMALL), ("status", types.nvarchar(30)), ("program_name?", _N128), ("host_name?", _N128),
        ("login_name", _N128), ("original_login_name", _N128), ("database_id", _SMALL), ("is_user_process", _BIT),
        ("open_transaction_count", _INT), ("login_time", _DATE)), _sessions, False),
    SystemView("sys.dm_exec_requests", _columns(
        ("session_id", _SMALL), ("request_id", _INT), ("status", types.nvarchar(30)), ("command", types.nvarchar(32)),
        ("database_id", _SMALL), ("start_time", _DATE)), _requests, False),
    SystemView("sys.dm_db_resource_stats", _columns(
        ("end_time", _DATE), ("avg_cpu_percent", _PERCENT), ("avg_data_io_percent", _PERCENT),
        ("avg_log_write_percent", _PERCENT), ("avg_memory_usage_percent", _PERCENT), ("xtp_storage_percent", _PERCENT),
        ("max_worker_percent", _PERCENT), ("max_session_percent", _PERCENT), ("dtu_limit", _INT)),
        _resource_stats, False),
    SystemView("sys.tables", _OBJECT_COLUMNS, lambda session: _objects(session, schema.Table), True),
    SystemView("sys.views", _OBJECT_COLUMNS, lambda session: _objects(session, schema.View), True),
    SystemView("sys.procedures", _OBJECT_COLUMNS, lambda session: _objects(session, schema.Procedure), True),
    SystemView("sys.objects", _OBJECT_COLUMNS, _objects, True),
    SystemView("sys.key_constraints", _columns(
        ("name", _N128), ("object_id", _INT), ("parent_object_id", _INT), ("schema_id", _INT), ("type", SqlType("char",
        length=2)),
        ("type_desc", _N60), ("create_date", _DATE), ("unique_index_id", _INT)), _keys, True),
    SystemView("sys.columns", _columns(
        ("object_id", _INT), ("name", _N128), ("column_id", _INT), ("system_type_id", _TINY), ("user_type_id", _INT),
        ("max_length", _SMALL), ("precision", _TINY), ("scale", _TINY), ("collation_name?", _N128), ("is_nullable",
        _BIT),
        ("is_ansi_padded", _BIT), ("is_rowguidcol", _BIT), ("is_identity", _BIT), ("is_computed", _BIT),
        ("default_object_id", _INT)), _all_columns, True),
    SystemView("sys.indexes", _columns(
        ("object_id", _INT), ("name?", _N128), ("index_id", _INT), ("type", _TINY), ("type_desc", _N60), ("is_unique",
        _BIT),
        ("is_primary_key", _BIT), ("is_unique_constraint", _BIT), ("is_disabled", _BIT), ("is_hypothetical", _BIT),
        ("has_filter", _BIT)), _indexes, True),
    SystemView("sys.index_columns", _columns(
        ("object_id", _INT), ("index_id", _INT), ("index_column_id", _INT), ("column_id", _INT), ("key_ordinal", _TINY),
        ("is_descending_key", _BIT), ("is_included_column", _BIT)), _index_columns, True),
    SystemView("sys.schemas", _columns(("name", _N128), ("schema_id", _INT), ("principal_id", _INT)), _schemas, True),
    SystemView("sys.types", _columns(
        ("name", _N128), ("system_type_id", _TINY), ("user_type_id", _INT), ("schema_id", _INT), ("max_length", _SMALL),
        ("precision", _TINY), ("scale", _TINY), ("collation_name?", _N128), ("is_nullable", _BIT), ("is_user_defined",
        _BIT)),
        _types, True),
    SystemView("sys.database_principals", _columns(
        ("name", _N128), ("principal_id", _INT), ("type", SqlType("char", length=1)), ("type_desc", _N60),
        ("default_schema_name?", _N128), ("create_date", _DATE), ("modify_date", _DATE), ("is_fixed_role", _BIT),
        ("authentication_type", _INT), ("authentication_type_desc", _N60)), _principals, True),
    SystemView("sys.database_role_members", _columns(
        ("role_principal_id", _INT), ("member_principal_id", _INT)), _role_members, True),
    SystemView("sys.sql_modules", _columns(
        ("object_id", _INT), ("definition", types.nvarchar(types.MAX))), _modules, True),
    SystemView("sys.dm_db_partition_stats", _columns(
        ("object_id", _INT), ("index_id", _INT), ("row_count", types.BIGINT)), _partition_stats, False),
    SystemView("information_schema.tables", _columns(
        ("TABLE_CATALOG", _N128), ("TABLE_SCHEMA", _N128), ("TABLE_NAME", _N128), ("TABLE_TYPE", types.varchar(10))),
        _info_tables, True),
    SystemView("information_schema.columns", _columns(
        ("TABLE_CATALOG", _N128), ("TABLE_SCHEMA", _N128), ("TABLE_NAME", _N128), ("COLUMN_NAME", _N128),
        ("ORDINAL_POSITION", _INT), ("COLUMN_DEFAULT?", types.nvarchar(4000)), ("IS_NULLABLE", types.varchar(3)),
        ("DATA_TYPE", _N128), ("CHARACTER_MAXIMUM_LENGTH?", _INT), ("NUMERIC_PRECISION?", _TINY), ("NUMERIC_SCALE?",
        _INT),
        ("DATETIME_PRECISION?", _SMALL)), _info_columns, True),
)  # fmt: skip
VIEWS = {view.name: view for view in _ALL}
