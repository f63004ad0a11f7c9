"""One connection's session: the contract's ``Session``, and what functions and system views ask about it."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..contract import Column, Event, Message, Parameter, SqlError, SqlType
from . import convert, dates, errors, interpreter, nodes, properties, schema, system_views, types
from .compile_changes import ChangeCompiler
from .locks import Owner
from .parser import parse
from .transactions import Transactions

if TYPE_CHECKING:
    from ..catalog import Database, LogicalServer, Principal

VERSION = "Microsoft SQL Azure (RTM) - 12.0.2000.8 (emulator of the Elastic Jobs project; not SQL Server)"
_CACHED_VIEWS: dict[tuple[str, ...], str] = {}
_CACHED_VIEWS_LIMIT = 2000


class EngineSession:
    """See ``contract.Session``. ``application`` and ``host`` may be set by the wire after the login.

    outputs: after a batch, the values of the parameters that were marked as output. return_status: of the last EXEC.
    """

    def __init__(self, server: LogicalServer, home: Database, principal: Principal, spid: int) -> None:
        self.server = server
        self.home = home
        self.principal = principal
        self.spid = spid
        self.database = home.name
        self.login = principal.login
        self.application = ""
        self.host = ""
        self.logged_in = server.clock().replace(tzinfo=None).isoformat(" ", "microseconds")
        self.owner = Owner()
        self.transactions = Transactions(home, self.owner)
        self.options: dict[str, str] = {}
        self.identity_insert = 0
        self.rowcount = 0
        self.error = 0
        self.last_identity: int | None = None
        self.outputs: dict[str, object] = {}
        self.return_status = 0
        self.running = False
        self.session_locks: list[tuple[str, str]] = []
        self.temporary_identities: dict[int, int] = {}
        self._next_temporary_id = -100
        self._identity: schema.Table | None = None
        self._state = threading.Lock()
        self._closed = False

    # The contract

    def execute(self, batch: str, parameters: Sequence[Parameter] = ()) -> Iterator[Event]:
        with self._state:
            self.owner.cancelled.clear()
            self.running = True
        return self._events(batch, parameters)

    def _events(self, batch: str, parameters: Sequence[Parameter]) -> Iterator[Event]:
        try:
            if self._closed or self.home.dropped:
                yield Message(40613, 20, 1, 1, self.server.unavailable_text(self.database))
                return
            yield from self._run(batch, parameters)
        except errors.CancelledError:
            self._after_cancel()
        except SqlError as error:
            self.error = error.number
            yield error.message()
        finally:
            with self._state:
                self.running = False

    def _run(self, batch: str, parameters: Sequence[Parameter]) -> Iterator[Event]:
        parsed = parse(batch)
        frame = interpreter.Frame(parsed, {parameter.name.lower(): parameter.type for parameter in parameters})
        for parameter in parameters:
            frame.values[parameter.name.lower()] = convert.to_stored(parameter.value, parameter.type)
        self.outputs = {}
        runner = interpreter.Interpreter(self)
        yield from runner.batch(parsed, frame)
        for parameter in parameters:
            if parameter.output:
                self.outputs[parameter.name] = python_value(frame.values[parameter.name.lower()], parameter.type)

    def _after_cancel(self) -> None:
        """As after an attention: the statement is undone, and with XACT_ABORT the transaction too."""
        if self.options.get("xact_abort") == "ON":
            self.transactions.abandon()

    def cancel(self) -> None:
        with self._state:
            if not self.running:
                return
            self.owner.cancel()
        self.transactions.interrupt()

    def begin(self) -> None:
        self.transactions.begin()

    def commit(self) -> None:
        self.transactions.commit()

    def rollback(self) -> None:
        self.transactions.rollback()

    @property
    def transaction_depth(self) -> int:
        return self.transactions.depth

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self.transactions.close()
        finally:
            for resource, mode in self.session_locks:
                self.home.locks.release(self.owner, resource, mode)
            self.session_locks.clear()
            self.server.session_closed(self)

    def reset(self) -> None:
        """sp_reset_connection: as if newly logged in."""
        self.transactions.close()
        for resource, mode in self.session_locks:
            self.home.locks.release(self.owner, resource, mode)
        self.session_locks.clear()
        self.transactions = Transactions(self.home, self.owner)
        self.options, self.identity_insert, self.rowcount, self.error, self.last_identity = {}, 0, 0, 0, None

    # Names

    @property
    def catalog(self) -> schema.Catalog:
        return self.transactions.catalog

    def find_object(self, name: nodes.ObjectName) -> schema.Object | None:
        """Errors: 40515 for an object of another database."""
        if name.name.startswith(("#", "@")):
            return self.transactions.temporary.get(name.name.lower())
        if name.database and name.database.lower() != self.database.lower():
            text = (
                f"Reference to database and/or server name in '{name.text}' is not supported in this version of SQL "
                "Server."
            )
            raise SqlError(40515, 15, text)
        return self.catalog.find(name.schema or "dbo", name.name)

    def token(self) -> tuple[Any, ...]:
        """Names what compiled statements depend on."""
        temporary = self.transactions.temporary
        return (self.database, self.catalog.token, self.identity_insert, *temporary.values())

    def view_columns(self, view: schema.View) -> tuple[Column, ...]:
        code = ChangeCompiler(self, {}).compile_query(view.query)
        names = view.columns or tuple(column.name for column in code.columns)
        return tuple(Column(name, c.type, c.nullable) for name, c in zip(names, code.columns, strict=True))

    def visible_databases(self) -> list[Database]:
        """In master all, in a user database master and itself; sorted by id."""
        found = self.server.databases()
        if self.home.name != "master":
            found = [database for database in found if database.name == "master" or database is self.home]
        return sorted(found, key=lambda database: database.database_id)

    def row_count(self, table: schema.Table) -> int:
        return int(self.transactions.connection.execute(f"SELECT count(*) FROM {table.sql_name}").fetchone()[0])

    def temporary_id(self) -> int:
        self._next_temporary_id -= 1
        return self._next_temporary_id

    # What functions ask while a statement runs (runtime.SessionFacts)

    def inserting_into(self, table: schema.Table | None) -> None:
        self._identity = table if table is not None and table.identity is not None else None

    def identities(self, table: schema.Table) -> dict[int, int]:
        return self.temporary_identities if table.temporary else self.home.identities

    def next_identity(self, object_id: int) -> int:
        table = self._identity
        assert table is not None and table.identity is not None and table.identity.identity is not None  # noqa: S101, PT018
        seed, increment = table.identity.identity
        values = self.identities(table)
        value = values[object_id] + increment if object_id in values else seed
        if table.identity.type.name in types.INTEGERS:
            convert.fit_integer(value, table.identity.type, "IDENTITY")
        values[object_id] = self.last_identity = value
        return value

    def object_id(self, name: str, kind: str | None) -> int | None:
        return properties.object_id(self, name, kind)

    def object_name(self, object_id: int, kind: str) -> str | None:
        return properties.object_name(self, object_id, kind)

    def property_of(self, kind: str, subject: Any, name: Any) -> Any:
        return properties.property_of(self, kind, subject, name)


class Environment(dict[str, Any]):
    """The named values of one statement, made on demand: variables (v_), functions (g_), system views (s_)."""

    def __init__(self, session: EngineSession, frame: interpreter.Frame) -> None:
        super().__init__()
        self._session = session
        self._frame = frame

    def __missing__(self, key: str) -> Any:
        kind, _, name = key.partition("_")
        if kind == "v":
            value = self._frame.values[self._frame.parameter_names[key]]
        elif kind == "s":
            value = _view_json(self._session, name.replace("__", "."))
        else:
            value = self._global(name)
        self[key] = value
        return value

    def _global(self, name: str) -> Any:
        session, frame = self._session, self._frame
        if name.startswith("now"):
            return self._now(name)
        if name.startswith("error_"):
            return frame.error_value(name)
        if name in ("scope_identity", "identity"):
            value = frame.scope_identity if name == "scope_identity" else session.last_identity
            return None if value is None else str(value)
        if name == "xact_state":
            return -1 if session.transactions.doomed else int(session.transaction_depth > 0)
        if name == "newsequentialid":
            return str(uuid.uuid1()).upper()
        return _session_value(session, frame, name)

    def _now(self, name: str) -> str:
        """The clock of the server, in UTC as on Azure; once per statement."""
        moment = self._session.server.clock()
        kind = {"now": types.DATETIME, "now7": types.DATETIME2}.get(name, SqlType("datetimeoffset", scale=7))
        return dates.shape(moment if name == "nowoffset" else moment.astimezone(dt.UTC), kind)


def _session_value(session: EngineSession, frame: interpreter.Frame, name: str) -> Any:
    values: dict[str, Any] = {
        "db_name": session.database, "db_id": session.home.database_id, "user_name": session.principal.user,
        "login": session.login, "host_name": session.host, "app_name": session.application, "schema_name": "dbo",
        "schema_id": 1, "rowcount": session.rowcount, "rowcount_big": session.rowcount, "error": session.error,
        "trancount": session.transaction_depth, "spid": session.spid, "version": VERSION,
        "server_name": session.server.name, "nestlevel": frame.nesting, "datefirst": 7, "language": "us_english",
        "max_connections": 32767, "procid": 0, "microsoftversion": 0x0C0007D0, "options": 5432,
    }  # fmt: skip
    if name == "lock_timeout":
        timeout = session.transactions.lock_timeout
        return -1 if timeout is None else int(timeout * 1000)
    return values[name]


def _view_json(session: EngineSession, name: str) -> str:
    view = system_views.VIEWS[name]
    if not view.cached:
        return json.dumps(view.rows(session))
    key = (name, session.catalog.token, session.database, session.server.name)
    text = _CACHED_VIEWS.get(key)
    if text is None:
        text = json.dumps(view.rows(session))
        if len(_CACHED_VIEWS) >= _CACHED_VIEWS_LIMIT:
            _CACHED_VIEWS.clear()
        _CACHED_VIEWS[key] = text
    return text


def python_value(stored: Any, sql_type: SqlType) -> Any:
    decoder = convert.from_stored(sql_type)
    return stored if stored is None or decoder is None else decoder(stored)


@lru_cache(maxsize=256)
def parse_name(text: str) -> nodes.ObjectName | None:
    """The name in OBJECT_ID('..'); None when it is none."""
    from .parser_expressions import Cursor

    try:
        cursor = Cursor(text)
        name = cursor.object_name()
    except SqlError:
        return None
    return name if cursor.token.kind == "end" else None
