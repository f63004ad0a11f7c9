"""Connections to a job database on SQL Server or Azure SQL, through Microsoft's ODBC Driver 18.

Two pools over one way of connecting. Queries go over connections in autocommit, where a statement costs one round
trip. Transactions go over connections on which the driver itself keeps a transaction open: it begins with the first
statement, and only COMMIT costs another round trip. Nobody pings a connection before each use (that would double the
cost of an idle tick): only one that lay unused for a while is asked whether it still lives, because gateways and
failovers end idle connections. The rest is done again, see ``JobDatabase.transact``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure.core.credentials import TokenCredential
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError

from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.errors import CredentialError, JobDatabaseUnavailableError, SettingsError
from elastic_jobs.jobdb import sql_server_statements
from elastic_jobs.jobdb.driver_errors import MOVED_NUMBERS, number_of
from elastic_jobs.targets import errors as server_errors
from elastic_jobs.targets.authentication import (
    SQL_COPT_SS_ACCESS_TOKEN,
    ManagedIdentityTokens,
    TokenSource,
    pack_token,
)
from elastic_jobs.targets.connect import find_driver, quote

APPLICATION_NAME = "elastic-jobs job database"
LOGIN_TIMEOUT_SECONDS = 15
STATEMENT_TIMEOUT_SECONDS = 60
"""Silence of the server after which a statement is given up; longer than the wait for an application lock."""
CONNECT_RETRY_SECONDS = (1.0, 2.0, 4.0, *(5.0,) * 14)
"""Waits between tries: 77 s in all, because a paused serverless database needs about a minute to wake up. No longer
than 5 s each, because claims have to be renewed soon after a failover is over."""
UNUSED_SECONDS = 60.0
"""A connection that lay unused for so long is asked whether it lives. A tick every 10 s never is."""
RECYCLE_SECONDS = 3600
"""Age at which a connection is replaced: after a failover the name of the server leads elsewhere."""

_DEFAULT_PORT = 1433
_OPTIONS = {
    "encrypt": "Encrypt",
    "trustservercertificate": "TrustServerCertificate",
    "hostnameincertificate": "HostNameInCertificate",
    "multisubnetfailover": "MultiSubnetFailover",
}
"""What may follow ``?`` in the URL, by its name in lower case, and what the driver calls it."""
_VERIFIED = {"yes": "yes", "mandatory": "yes", "strict": "strict"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the job database is and as whom it is opened; without ``user`` as the app's own identity."""

    server: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: tuple[tuple[str, str], ...]

    @classmethod
    def from_url(cls, url: URL) -> Place:
        """Read ``mssql+pyodbc://[user:password@]server[:port]/database[?option=value]``.

        Raises:
            SettingsError: a part is missing, or an option is not known or would make the connection unsafe.
        """
        if not url.host or not url.database:
            raise SettingsError(
                "JOB_DATABASE_URL must name server and database: mssql+pyodbc://server.database.windows.net/database."
            )
        if bool(url.username) != bool(url.password):
            raise SettingsError(
                "JOB_DATABASE_URL must have user and password, or neither: without them the app's identity is used."
            )
        options = _options(url)
        if not url.username and options.get("TrustServerCertificate") == "yes":
            raise SettingsError(
                "JOB_DATABASE_URL says TrustServerCertificate=yes, but an access token is only sent to a server whose"
                " certificate was verified; remove the option."
            )
        return cls(
            server=url.host,
            port=url.port or _DEFAULT_PORT,
            database=url.database,
            user=url.username or "",
            password=str(url.password or ""),
            options=tuple(options.items()),
        )

    @property
    def login(self) -> str:
        """For sentences: as whom it is opened."""
        return f"user '{self.user}'" if self.user else "the app's identity"

    def connection_string(self) -> str:
        """What the driver gets. It holds the password."""
        fields = {
            "Driver": find_driver(),
            "Server": quote(f"tcp:{self.server},{self.port}"),
            "Database": quote(self.database),
            "APP": quote(APPLICATION_NAME),
            "Encrypt": "yes",
            "TrustServerCertificate": "no",
            # A connection that the driver mends in silence would have lost its transaction.
            "ConnectRetryCount": "0",
            "MARS_Connection": "no",
            # Long text is declared as nvarchar(max); ntext can neither be compared nor concatenated.
            "LongAsMax": "yes",
            **dict(self.options),
        }
        if self.user:
            fields |= {"UID": quote(self.user), "PWD": quote(self.password)}
        return ";".join(f"{name}={value}" for name, value in fields.items()) + ";"


def _options(url: URL) -> dict[str, str]:
    options: dict[str, str] = {}
    for given, value in url.query.items():
        name = given.replace(" ", "").replace("_", "").lower()
        if name == "driver":
            continue  # which one it is, is looked up
        if name not in _OPTIONS or not isinstance(value, str):
            raise SettingsError(
                f"JOB_DATABASE_URL has the option '{given}', which is not known; use {', '.join(_OPTIONS.values())}."
            )
        options[_OPTIONS[name]] = quote(value) if name == "hostnameincertificate" else value.lower()
    for name in ("TrustServerCertificate", "MultiSubnetFailover"):
        if options.get(name, "no") not in {"yes", "no"}:
            raise SettingsError(f"JOB_DATABASE_URL has {name}={options[name]}; write yes or no.")
    if options.get("Encrypt", "yes") not in _VERIFIED:
        raise SettingsError("JOB_DATABASE_URL switches encryption off; write Encrypt=yes or Encrypt=strict.")
    if "Encrypt" in options:
        options["Encrypt"] = _VERIFIED[options["Encrypt"]]
    return options


def _own_identity(_: str) -> TokenCredential:
    # Imported when it is needed: it is slow to load. AZURE_CLIENT_ID chooses among several identities of the app.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


class SqlServer:
    """Opens connections to one job database, and makes the two engines over them."""

    def __init__(
        self,
        url: URL,
        *,
        tokens: TokenSource | None = None,
        retry_seconds: tuple[float, ...] = CONNECT_RETRY_SECONDS,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Raises:
            SettingsError: the URL cannot be used, or there is no driver on this machine.
        """
        self.place = Place.from_url(url)
        self._url = url
        self._tokens = tokens or ManagedIdentityTokens(SystemClock(), _own_identity)
        self._retry_seconds, self._pause, self._monotonic = retry_seconds, pause, monotonic
        try:
            find_driver()
        except server_errors.TargetError as error:
            raise SettingsError(str(error)) from None

    def engine(self, pool_size: int, *, autocommit: bool) -> Engine:
        """An engine with a pool of its own, for queries (``autocommit``) or for transactions."""
        engine = create_engine(
            # The query was read; SQLAlchemy, which knows some of these names itself, only wants a driver to be named.
            self._url.set(query={"driver": "see connect"}),
            pool_size=pool_size,
            max_overflow=0,
            pool_recycle=RECYCLE_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,  # an error's text must not carry what was saved
            deprecate_large_types=True,
            use_setinputsizes=False,
            use_insertmanyvalues=False,
            skip_autocommit_rollback=True,
        )

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
            del record, arguments, options
            return self.connect(dialect.loaded_dbapi, autocommit=autocommit)

        sql_server_statements.listen(engine)
        event.listen(engine, "checkin", self._note_use)
        event.listen(engine, "checkout", self._ask_after_a_while)
        event.listen(engine, "handle_error", _leave_a_connection_that_is_of_no_use)
        return engine

    def connect(self, driver: Any, *, autocommit: bool) -> Any:
        """A new connection, tried again while the server asks for patience (paused, failing over, throttled).

        Raises:
            JobDatabaseUnavailableError: it could not be opened, or no token could be had.
        """
        for tried in range(len(self._retry_seconds) + 1):
            try:
                return self._open(driver, autocommit)
            except driver.Error as error:
                failure = server_errors.read(error)
            if not server_errors.retry_connect(failure, tried + 1) or tried == len(self._retry_seconds):
                break
            self._pause(self._retry_seconds[tried])
        text = (
            f"The job database '{self.place.database}' on server '{self.place.server}' cannot be opened as"
            f" {self.place.login}: {failure.labelled} Check JOB_DATABASE_URL, and the server's firewall and users."
        )
        raise JobDatabaseUnavailableError(server_errors.redact(text, (self.place.password,)))

    def _open(self, driver: Any, autocommit: bool) -> Any:
        attributes = {} if self.place.user else {SQL_COPT_SS_ACCESS_TOKEN: pack_token(self._token())}
        connection = driver.connect(
            self.place.connection_string(),
            autocommit=autocommit,
            timeout=LOGIN_TIMEOUT_SECONDS,
            attrs_before=attributes,
        )
        connection.timeout = STATEMENT_TIMEOUT_SECONDS
        # A server may have it on for everybody, and every guarded UPDATE is judged by its count.
        connection.execute("SET NOCOUNT OFF").close()
        return connection

    def _token(self) -> str:
        try:
            return self._tokens.token(self.place.login)
        except CredentialError as error:
            raise JobDatabaseUnavailableError(
                f"The job database '{self.place.database}' on server '{self.place.server}' cannot be opened: no access"
                " token for the app's identity could be had. Assign a managed identity to the app (AZURE_CLIENT_ID"
                " chooses one of several), or put user and password into JOB_DATABASE_URL."
            ) from error

    def _note_use(self, connection: Any, record: Any) -> None:
        record.info["used_at"] = self._monotonic()
        if connection is not None:  # None: it was lost meanwhile
            connection.timeout = STATEMENT_TIMEOUT_SECONDS  # see wait_for_ever

    def _ask_after_a_while(self, connection: Any, record: Any, proxy: Any) -> None:
        del proxy
        used_at = record.info.get("used_at")
        if used_at is None or self._monotonic() - used_at < UNUSED_SECONDS:
            return
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT 1")
            cursor.fetchall()
        except Exception as error:
            # SQLAlchemy replaces it by a new one.
            raise DisconnectionError from error
        finally:
            cursor.close()


def wait_for_ever(connection: Connection) -> None:
    """Give no statement up until this connection goes back to its pool: building an index may take its time."""
    driver_connection: Any = connection.connection.dbapi_connection
    driver_connection.timeout = 0


def _leave_a_connection_that_is_of_no_use(context: ExceptionContext) -> None:
    """The database moved: this connection is dropped, and with it all others that were opened before now."""
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and number_of(error) in MOVED_NUMBERS:
        context.is_disconnect = True
