"""Azure SQL logical servers: databases, elastic pools, logins, tokens, and who may open which database.

What lives inside a database (tables, users, permissions) is its ``Catalog`` snapshot (``engine/schema.py``); this file
holds what lives on the server around it, and decides about logins. Everything is cheap until first used: a database
that nobody opened is a few Python objects, without a file or a SQLite handle.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .contract import SqlError
from .engine import schema
from .engine.locks import LockManager
from .engine.session import EngineSession
from .engine.storage import DatabaseFile, Storage

MASTER = "master"
ONLINE = "ONLINE"
# sys.databases.state, as documented for that view.
STATES = {
    "ONLINE": 0, "RESTORING": 1, "RECOVERING": 2, "RECOVERY_PENDING": 3, "SUSPECT": 4, "EMERGENCY": 5, "OFFLINE": 6,
    "COPYING": 7, "OFFLINE_SECONDARY": 10,
}  # fmt: skip
# The states of a serverless database that sys.databases does not number; logins meet 40613 in them.
PAUSED_STATES = {"PAUSED", "PAUSING", "RESUMING"}
FIRST_USER_DATABASE_ID = 5


def utc_now() -> datetime:
    return datetime.now(UTC)


def hash_password(password: str, salt: bytes | None = None) -> bytes:
    """A salted digest. One cheap round on purpose: hundreds of logins a second, and nothing to guard."""
    salt = os.urandom(8) if salt is None else salt
    return salt + hashlib.sha256(salt + password.encode()).digest()


def password_matches(digest: bytes | None, password: str) -> bool:
    return digest is not None and hmac.compare_digest(digest, hash_password(password, digest[:8]))


@dataclass(frozen=True)
class Principal:
    """Who a session is. user: its name in the database; dbo: may do everything there."""

    login: str
    user: str
    dbo: bool = False


@dataclass
class Login:
    name: str
    password: bytes
    principal_id: int
    create_date: datetime


@dataclass
class Database:
    """One database. ``catalog`` is the committed snapshot; sessions publish a new one when they commit DDL."""

    name: str
    database_id: int
    create_date: datetime
    file: DatabaseFile
    state: str = ONLINE
    elastic_pool: str | None = None
    service_objective: str = "S0"
    catalog: schema.Catalog = schema.EMPTY
    locks: LockManager = field(default_factory=LockManager)
    # Last identity value handed out, by object id. As in SQL Server a rollback does not give values back.
    identities: dict[int, int] = field(default_factory=dict)
    dropped: bool = False

    @property
    def edition(self) -> str:
        """The edition of a service objective: documented prefixes, e.g. S3 Standard, P1 Premium, GP_S_Gen5_1."""
        objective = self.service_objective.upper()
        editions = (("GP_", "GeneralPurpose"), ("BC_", "BusinessCritical"), ("HS_", "Hyperscale"), ("P", "Premium"),
                    ("S", "Standard"), ("B", "Basic"))  # fmt: skip
        return next((edition for prefix, edition in editions if objective.startswith(prefix)), "Standard")


class LogicalServer:
    """One logical server with its ``master``. Safe for many threads.

    admin_login, admin_password: the server admin, dbo in every database.
    entra_admin: name of the Entra principal that is admin too, if any.
    clock: the present time, for create dates, GETDATE() and the like.
    """

    def __init__(
        self,
        name: str,
        admin_login: str = "sqladmin",
        admin_password: str = "",
        *,
        entra_admin: str | None = None,
        storage: Storage | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = name
        self.admin_login = admin_login
        self.entra_admin = entra_admin
        self.clock = clock
        self.sessions: dict[int, EngineSession] = {}
        self._storage = storage if storage is not None else Storage()
        self._mutex = threading.RLock()
        self._databases: dict[str, Database] = {}
        self._pools: dict[str, str] = {}
        self._logins: dict[str, Login] = {}
        self._tokens: dict[str, str] = {}
        self._database_ids = itertools.count(FIRST_USER_DATABASE_ID)
        self._login_ids = itertools.count(1)
        self._spids = itertools.count(51)
        self._databases[MASTER] = Database(MASTER, 1, clock(), self._storage.file())
        self.create_login(admin_login, admin_password)

    # Databases and pools

    def create_elastic_pool(self, name: str) -> None:
        with self._mutex:
            self._pools[name.lower()] = name

    def create_database(
        self, name: str, elastic_pool: str | None = None, state: str = ONLINE, service_objective: str = "S0"
    ) -> Database:
        """Errors: 1801 when the database exists; ValueError for an unknown pool or state."""
        self._check_state(state)
        with self._mutex:
            if name.lower() in self._databases:
                raise SqlError(1801, 16, f"Database '{name}' already exists. Choose a different database name.", 3)
            if elastic_pool is not None:
                if elastic_pool.lower() not in self._pools:
                    raise ValueError(f"Server {self.name} has no elastic pool {elastic_pool!r}; create it first.")
                elastic_pool, service_objective = self._pools[elastic_pool.lower()], "ElasticPool"
            database = Database(
                name, next(self._database_ids), self.clock(), self._storage.file(), state, elastic_pool,
                service_objective,
            )  # fmt: skip
            self._databases[name.lower()] = database
            return database

    def drop_database(self, name: str) -> None:
        """Errors: 3701 when there is no such database, or it is master."""
        with self._mutex:
            database = self._databases.get(name.lower())
            if database is None or database.name == MASTER:
                text = f"Cannot drop the database '{name}', because it does not exist or you do not have permission."
                raise SqlError(3701, 11, text)
            del self._databases[name.lower()]
            database.dropped = True
            victims = [session for session in self.sessions.values() if session.home is database]
        for session in victims:
            session.cancel()
        database.file.close()

    def database(self, name: str) -> Database | None:
        return self._databases.get(name.lower())

    def databases(self) -> list[Database]:
        with self._mutex:
            return list(self._databases.values())

    def set_state(self, name: str, state: str) -> None:
        """Pause, resume or break a database: logins to one that is not ONLINE get 40613. KeyError: unknown name."""
        self._check_state(state)
        self._databases[name.lower()].state = state

    @staticmethod
    def _check_state(state: str) -> None:
        if state not in STATES and state not in PAUSED_STATES:
            raise ValueError(
                f"A database cannot be in state {state!r}; use one of {', '.join([*STATES, *PAUSED_STATES])}."
            )

    # Logins and tokens

    def create_login(self, name: str, password: str) -> None:
        """Errors: 15025 when the login exists."""
        with self._mutex:
            if name.lower() in self._logins:
                raise SqlError(15025, 16, f"The server principal '{name}' already exists.")
            self._logins[name.lower()] = Login(name, hash_password(password), next(self._login_ids), self.clock())

    def alter_login(self, name: str, password: str) -> None:
        """Errors: 15151 when the login does not exist."""
        self._existing_login(name, "alter").password = hash_password(password)

    def drop_login(self, name: str) -> None:
        """Errors: 15151 when the login does not exist."""
        with self._mutex:
            self._existing_login(name, "drop")
            del self._logins[name.lower()]

    def _existing_login(self, name: str, verb: str) -> Login:
        login = self._logins.get(name.lower())
        if login is None:
            text = f"Cannot {verb} the login '{name}', because it does not exist or you do not have permission."
            raise SqlError(15151, 16, text)
        return login

    def has_login(self, name: str) -> bool:
        return name.lower() in self._logins

    def logins(self) -> list[Login]:
        with self._mutex:
            return list(self._logins.values())

    def add_token(self, token: str, principal: str) -> None:
        """An Entra access token that this server accepts, for the principal of that name."""
        self._tokens[token] = principal

    def remove_token(self, token: str) -> None:
        self._tokens.pop(token, None)

    # Opening sessions

    def login(self, user: str, password: str, database: str = "") -> EngineSession:
        """A session for a SQL login, or for a contained user of the database.

        Errors: 18456 wrong name or password, 4060 database unknown or the login has no user there, 40613 not ONLINE.
        """
        target = self._databases.get((database or MASTER).lower())
        login = self._logins.get(user.lower())
        if login is not None and password_matches(login.password, password):
            if login.name.lower() == self.admin_login.lower():
                return self._open(target, database, Principal(login.name, "dbo", dbo=True))
            mapped = None if target is None else target.catalog.user_of_login(login.name)
            return self._open(target, database, None if mapped is None else Principal(login.name, mapped.name))
        contained = None if target is None else target.catalog.principals.get(user.lower())
        if contained is not None and password_matches(contained.password, password):
            return self._open(target, database, Principal(contained.name, contained.name))
        raise SqlError(18456, 14, f"Login failed for user '{user}'.")

    def login_with_token(self, token: str, database: str = "") -> EngineSession:
        """A session for an Entra access token: its principal needs a user FROM EXTERNAL PROVIDER in the database.

        Errors: 18456 unknown token or no such user, 4060 database unknown, 40613 not ONLINE.
        """
        refused = SqlError(18456, 14, "Login failed for user '<token-identified principal>'.")
        name = self._tokens.get(token)
        if name is None:
            raise refused
        target = self._databases.get((database or MASTER).lower())
        if self.entra_admin is not None and name.lower() == self.entra_admin.lower():
            return self._open(target, database, Principal(name, "dbo", dbo=True))
        if target is None:
            return self._open(target, database, None)
        user = target.catalog.principals.get(name.lower())
        if user is None or user.kind != "E":
            raise refused
        return self._open(target, database, Principal(name, user.name))

    def _open(self, database: Database | None, requested: str, principal: Principal | None) -> EngineSession:
        if database is None or principal is None:
            text = f'Cannot open database "{requested or MASTER}" requested by the login. The login failed.'
            raise SqlError(4060, 11, text)
        if database.state != ONLINE:
            raise SqlError(40613, 17, self.unavailable_text(database.name))
        with self._mutex:
            session = EngineSession(self, database, principal, next(self._spids))
            self.sessions[session.spid] = session
        return session

    def unavailable_text(self, database: str) -> str:
        """The text of error 40613."""
        return (
            f"Database '{database}' on server '{self.name}' is not currently available. Please retry the connection "
            "later. If the problem persists, contact customer support, and provide them the session tracing ID."
        )

    def session_closed(self, session: EngineSession) -> None:
        """Called by a session that closes."""
        with self._mutex:
            self.sessions.pop(session.spid, None)

    def close(self) -> None:
        """Close all sessions and remove the files of all databases."""
        for session in list(self.sessions.values()):
            session.cancel()
            session.close()
        for database in self.databases():
            database.file.close()
        self._storage.close()


class Estate:
    """Several logical servers, found by the name a client asks for: the short name or a fully qualified one."""

    def __init__(self, servers: Iterable[LogicalServer] = ()) -> None:
        self._servers: dict[str, LogicalServer] = {}
        for server in servers:
            self.add(server)

    def add(self, server: LogicalServer) -> LogicalServer:
        self._servers[server.name.lower()] = server
        return server

    def server(self, name: str) -> LogicalServer | None:
        """``server1``, ``server1.database.windows.net``, ``tcp:server1...,1433``: case and decoration do not matter."""
        bare = name.lower().removeprefix("tcp:").split(",")[0].strip()
        return self._servers.get(bare) or self._servers.get(bare.split(".")[0])

    def servers(self) -> list[LogicalServer]:
        return list(self._servers.values())

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
