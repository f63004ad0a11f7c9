"""T-SQL that lets the agent in: users with the least they need, for an identity or for credentials.

A script is made per database, can be run again, and holds no password: the one who runs it fills it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.targets import (
    Member,
    ServerNames,
    TargetDatabase,
    servers_to_list,
    servers_with_pools,
    shard_maps_to_list,
)
from elastic_jobs.targets.authentication import Login, PasswordLogin
from elastic_jobs.targets.identifiers import quote_identifier, quote_literal


class Access(StrEnum):
    """What the job's scripts may do in a target database. Each is for itself; name several where it takes several."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    CHANGE_SCHEMA = "change schema"
    OWN = "own"


_GRANTS: Mapping[Access, str] = {
    Access.READ: "GRANT SELECT TO {user};",
    Access.WRITE: "GRANT SELECT, INSERT, UPDATE, DELETE TO {user};",
    Access.EXECUTE: "GRANT EXECUTE TO {user};",
    Access.CHANGE_SCHEMA: "ALTER ROLE db_ddladmin ADD MEMBER {user};",
    Access.OWN: "ALTER ROLE db_owner ADD MEMBER {user};",
}


@dataclass(frozen=True)
class IdentityUser:
    """The agent's managed identity. ``name``: its display name, which is also the name of its resource."""

    name: str


@dataclass(frozen=True)
class CredentialUsers:
    """The users of credentials.

    job_user: of the credential that the job's steps name. refresh_users: user name by the name of each refresh
    credential that members of the group name. contained: make the job's user in each database with a password of its
    own, without a login on the server; no other database can then be opened with it.
    """

    job_user: str
    refresh_users: Mapping[str, str] = field(default_factory=dict)
    contained: bool = False


AgentUsers = IdentityUser | CredentialUsers


@dataclass(frozen=True)
class SetupScript:
    """What to run in one database, as its server's administrator (an Entra one where an identity is let in)."""

    server_name: str
    database_name: str
    sql: str


def group_setup(
    members: Sequence[Member],
    targets: Iterable[TargetDatabase],
    names: ServerNames,
    users: AgentUsers,
    access: Sequence[Access],
    output: Output | None = None,
) -> list[SetupScript]:
    """The scripts for a target group: ``master`` of the servers first, then shard map managers, targets, output.

    targets: what the group comes to now; databases made later need theirs when they are made.

    Raises:
        ValueError: a member names a refresh credential that ``users`` does not know.
    """
    setup = _Setup(names, users)
    found = list(targets)
    setup.enumeration(members, {target.server_name for target in found})
    for member in shard_maps_to_list(members):
        setup.shard_map(member)
    setup.job_logins([*found, *([] if output is None else [_place(output, names)])])
    for target in found:
        setup.target(target, access)
    if output is not None:
        setup.output(output)
    return setup.scripts()


def _place(output: Output, names: ServerNames) -> TargetDatabase:
    return TargetDatabase(server_name=names.canonical(output.server_name), database_name=output.database_name)


class _Setup:
    """Collects the statements of each database, each once, in the order in which they must run."""

    def __init__(self, names: ServerNames, users: AgentUsers) -> None:
        self._names, self._users = names, users
        self._job_user = users.name if isinstance(users, IdentityUser) else users.job_user
        self._parts: dict[tuple[str, str], list[str]] = {}

    def scripts(self) -> list[SetupScript]:
        # A login must be there before its users.
        ordered = sorted(self._parts.items(), key=lambda part: part[0][1].casefold() != "master")
        return [SetupScript(server, database, "\n".join(lines) + "\n") for (server, database), lines in ordered]

    def enumeration(self, members: Sequence[Member], servers_of_targets: set[str]) -> None:
        with_pools = servers_with_pools(members, self._names)
        for server, credential in servers_to_list(members, self._names, servers_of_targets).items():
            user = _refresh_user(self._users, credential)
            self._add(server, "master", *_server_user(self._users, user))
            if server in with_pools:
                self._add(server, "master", _SEE_POOLS.format(user=quote_identifier(user)))

    def shard_map(self, member: Member) -> None:
        server, database = self._names.canonical(member.server_name), member.database_name or ""
        user = _refresh_user(self._users, member.refresh_credential_name)
        if isinstance(self._users, CredentialUsers):
            self._add(server, "master", *_login(user))
        self._add(server, database, *_database_user(self._users, user, contained=False))
        self._add(server, database, _READ_SHARDS.format(user=quote_identifier(user)))

    def job_logins(self, places: Iterable[TargetDatabase]) -> None:
        if isinstance(self._users, CredentialUsers) and not self._users.contained:
            for server in sorted({place.server_name for place in places}):
                self._add(server, "master", *_login(self._job_user))

    def target(self, target: TargetDatabase, access: Sequence[Access]) -> None:
        grants = [_GRANTS[wanted].format(user=quote_identifier(self._job_user)) for wanted in access]
        user = _database_user(self._users, self._job_user)
        self._add(target.server_name, target.database_name, *user, *grants)

    def output(self, output: Output) -> None:
        place = _place(output, self._names)
        user = _database_user(self._users, self._job_user)
        self._add(place.server_name, place.database_name, *user, *_output_grants(self._job_user, output))

    def _add(self, server: str, database: str, *statements: str) -> None:
        known = self._parts.setdefault((server, database), [])
        known += [statement for statement in statements if statement not in known]


def way_in(login: Login, database: str) -> str:
    """The sentence for a login that a database does not let in: what its administrator would run."""
    if isinstance(login, PasswordLogin):
        user = quote_identifier(login.username)
        return (
            f"To let it in, run in database 'master' CREATE LOGIN {user} WITH PASSWORD = '<the credential's password>';"
            f" and in database '{database}' CREATE USER {user} FROM LOGIN {user};"
        )
    return (
        f"To let it in, run in database '{database}' as an Entra administrator CREATE USER [<name of the managed"
        " identity>] FROM EXTERNAL PROVIDER;"
    )


_SEE_POOLS = """\
-- sys.database_service_objectives, which tells the elastic pools, shows itself to members of dbmanager only.
ALTER ROLE dbmanager ADD MEMBER {user};"""

_READ_SHARDS = """\
GRANT SELECT ON OBJECT::[__ShardManagement].[ShardMapsGlobal] TO {user};
GRANT SELECT ON OBJECT::[__ShardManagement].[ShardsGlobal] TO {user};"""

# CREATE LOGIN wants a batch to itself and takes no variable, hence the text that is executed. The password is asked for
# only where it is needed, so that a second run wants nothing. GO: each of these has its own @password.
_WITH_PASSWORD = """\
-- Fill in between the quotes: the password of user {comment}
DECLARE @password nvarchar(128) = N'';
IF NOT ({exists})
BEGIN
    IF @password = N'' THROW 50000, {demand}, 1;
    DECLARE @create nvarchar(max) =
        {create} + REPLACE(@password, N'''', N'''''') + N'''';
    EXEC (@create);
END;
GO"""  # noqa: S105  # asks for one, holds none


def _refresh_user(users: AgentUsers, credential: str | None) -> str:
    if isinstance(users, IdentityUser):
        return users.name
    try:
        return users.refresh_users[credential or ""]
    except KeyError:
        raise ValueError(
            f"The user name of refresh credential '{credential or ''}' is not known; name the credential in every"
            " member that is enumerated, and give its user name."
        ) from None


def _server_user(users: AgentUsers, user: str) -> list[str]:
    """What lets a user list the databases of a server: a user in ``master`` sees them all."""
    logins = _login(user) if isinstance(users, CredentialUsers) else []
    return [*logins, *_database_user(users, user, contained=False)]


def _login(user: str) -> list[str]:
    known = f"EXISTS (SELECT * FROM sys.sql_logins WHERE name = {quote_literal(user)})"  # noqa: S608  # quoted
    return [_with_password("LOGIN", user, known)]


def _database_user(users: AgentUsers, user: str, *, contained: bool | None = None) -> list[str]:
    missing = f"IF DATABASE_PRINCIPAL_ID({quote_literal(user)}) IS NULL"
    if isinstance(users, IdentityUser):
        return [f"{missing} CREATE USER {quote_identifier(user)} FROM EXTERNAL PROVIDER;"]
    if users.contained if contained is None else contained:
        return [_with_password("USER", user, f"DATABASE_PRINCIPAL_ID({quote_literal(user)}) IS NOT NULL")]
    return [f"{missing} CREATE USER {quote_identifier(user)} FROM LOGIN {quote_identifier(user)};"]


def _with_password(kind: str, user: str, known: str) -> str:
    return _WITH_PASSWORD.format(
        comment=" ".join(user.splitlines()),
        exists=known,
        demand=quote_literal(f"Fill in the password of user {user} first."),
        # Without the closing quote: the password follows.
        create=quote_literal(f"CREATE {kind} {quote_identifier(user)} WITH PASSWORD = N'"),
    )


def _output_grants(user: str, output: Output) -> list[str]:
    schema, grantee = quote_identifier(output.schema_name), quote_identifier(user)
    return [
        "-- The output table is made when it is absent.",
        f"GRANT CREATE TABLE TO {grantee};",
        f"GRANT ALTER, SELECT, INSERT, DELETE ON SCHEMA::{schema} TO {grantee};",
    ]
