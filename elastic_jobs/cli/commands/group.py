"""``group``: target groups, their members, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import path
from elastic_jobs.cli.commands.common import GroupName, Yes, body_of, completing, refuse_existing
from elastic_jobs.cli.errors import ExitCode, UsageError
from elastic_jobs.cli.files.names import file_stems
from elastic_jobs.cli.output import Column, cell
from elastic_jobs.cli.runs import name_of, shown
from elastic_jobs.cli.session import Session, command

app = typer.Typer(no_args_is_help=True, help="Target groups: on which databases steps run.")
members = typer.Typer(no_args_is_help=True, help="The members of a target group.")
app.add_typer(members, name="members")

Server = Annotated[str, typer.Option("--server", metavar="SERVER", help="Logical server; a short name does.")]
Database = Annotated[str | None, typer.Option("--database", metavar="NAME", help="One database of it.")]
Pool = Annotated[str | None, typer.Option("--pool", metavar="NAME", help="All databases of an elastic pool of it.")]
ShardMap = Annotated[
    str | None, typer.Option("--shard-map", metavar="NAME", help="With --database: all shards of a shard map in it.")
]
Refresh = Annotated[
    str | None,
    typer.Option(
        "--refresh-credential", metavar="NAME", help="Credential that may list the databases; not with an identity."
    ),
]
JobCredential = Annotated[
    str | None,
    typer.Option(
        "--credential",
        metavar="NAME",
        help="Credential of the job; none where the agent has an identity.",
        autocompletion=completing("credentials"),
    ),
]


@command(app, "list", example="elastic-jobs group list")
def list_groups(session: Session) -> None:
    """All target groups."""
    session.printer.rows(
        session.client.pages(path("targetGroups")),
        [
            Column("NAME", lambda row: row["name"]),
            Column("INCLUDES", lambda row: _members(row, "Include"), flexible=True),
            Column("EXCLUDES", lambda row: _members(row, "Exclude"), optional=1, flexible=True),
        ],
    )


@command(app, "show", example="elastic-jobs group show customers")
def show(session: Session, group: GroupName) -> None:
    """A target group with its members."""
    _print(session, session.client.get(path("targetGroups", group)))


@command(app, "create", example="elastic-jobs group create customers")
def create(session: Session, group: GroupName) -> None:
    """Create an empty target group; 'group members add' fills it."""
    known = f"There is a target group '{group}' already; see 'group members --help'."
    refuse_existing(session.client, path("targetGroups", group), known)
    _print(session, session.client.put(path("targetGroups", group), {"properties": {"members": []}}))
    session.note(f"Now give it members: elastic-jobs group members add {shown(group)} --server SERVER")


@command(app, "delete", example="elastic-jobs group delete customers --yes")
def delete(session: Session, group: GroupName, yes: Yes = False) -> None:
    """Delete a target group. Refused while a step uses it."""
    session.client.get(path("targetGroups", group))
    session.confirm(f"Delete the target group '{group}'?", yes=yes)
    session.client.delete(path("targetGroups", group))
    session.note(f"The target group '{group}' is deleted.")


@command(
    members,
    "add",
    example="""
        elastic-jobs group members add customers --server sql1 --refresh-credential refresher
        elastic-jobs group members add customers --server sql1 --database crm
        elastic-jobs group members add customers --server sql1 --pool pool1
    """,
)
def add(
    session: Session,
    group: GroupName,
    server: Server,
    database: Database = None,
    pool: Pool = None,
    shard_map: ShardMap = None,
    refresh_credential: Refresh = None,
) -> None:
    """Take in a database, or all of a server, an elastic pool or a shard map."""
    _change(session, group, _member("Include", server, database, pool, shard_map, refresh_credential))


@command(members, "exclude", example="elastic-jobs group members exclude customers --server sql1 --database archive")
def exclude(
    session: Session,
    group: GroupName,
    server: Server,
    database: Database = None,
    pool: Pool = None,
    shard_map: ShardMap = None,
    refresh_credential: Refresh = None,
) -> None:
    """Leave a database, a pool or a server out; what is excluded is never hit, whatever includes it."""
    _change(session, group, _member("Exclude", server, database, pool, shard_map, refresh_credential))


@command(members, "remove", example="elastic-jobs group members remove customers --server sql1 --database crm")
def remove(
    session: Session,
    group: GroupName,
    server: Server,
    database: Database = None,
    pool: Pool = None,
    shard_map: ShardMap = None,
) -> None:
    """Take a member out, whether it was included or excluded."""
    current = body_of(session.client.get(path("targetGroups", group)))["members"]
    gone = _key(_member("Include", server, database, pool, shard_map, None))
    # Servers are answered with their full names, and may be given by their short ones.
    kept = [each for each in current if not _same(_key(each), gone)]
    if len(kept) == len(current):
        raise UsageError(f"The target group '{group}' has no such member; see: elastic-jobs group show {shown(group)}")
    _print(session, session.client.put(path("targetGroups", group), {"properties": {"members": kept}}))


@command(app, "resolve", example="elastic-jobs group resolve customers")
def resolve(session: Session, group: GroupName) -> None:
    """Dry run: the databases that a step would hit now. Nothing is run on them."""
    found = session.client.post(path("targetGroups", group, "resolve"))
    if not session.printer.value(found):
        session.printer.rows(
            found["targets"],
            [
                Column("SERVER", lambda row: row["serverName"]),
                Column("DATABASE", lambda row: row["databaseName"]),
                Column("POOL", lambda row: row.get("elasticPoolName"), optional=1),
            ],
        )
    _warn_of_refused(session, found)
    if not found["complete"]:
        _warn_of_failures(session, found)
        session.warn("While a server cannot be asked, a step runs nowhere.")
        raise typer.Exit(ExitCode.FAILED)
    session.note(f"{len(found['targets'])} databases.")


@command(
    app,
    "preflight",
    example="""
        elastic-jobs group preflight customers --credential runner
        elastic-jobs group preflight customers --seconds 200 -o json
    """,
)
def preflight(
    session: Session,
    group: GroupName,
    credential: JobCredential = None,
    seconds: Annotated[int, typer.Option(min=1, max=200, help="Time limit.")] = 60,
) -> None:
    """Try out each database without running a script: what is in the way, and the way out. 1 when something is."""
    body = {"credential": credential, "timeLimitSeconds": seconds}
    found = session.client.post(path("targetGroups", group, "preflight"), body)
    if not session.printer.value(found):
        session.printer.rows(
            found["targets"],
            [
                Column("SERVER", lambda row: row["serverName"]),
                Column("DATABASE", lambda row: row["databaseName"]),
                Column("READY", lambda row: "ok" if row["ready"] else "failed"),
                Column("IN THE WAY", obstacle, flexible=True),
            ],
        )
    _warn_of_failures(session, found)
    if not found["ready"]:
        raise typer.Exit(ExitCode.FAILED)


@command(
    app,
    "user-setup",
    example="""
        elastic-jobs group user-setup customers --credential runner --access write --folder setup
        elastic-jobs group user-setup customers --access read --access execute
    """,
)
def user_setup(
    session: Session,
    group: GroupName,
    credential: JobCredential = None,
    access: Annotated[
        list[str],
        typer.Option("--access", help="What scripts may do: read, write, execute, changeSchema, own; repeat."),
    ] = [],  # noqa: B006  # Typer copies it
    contained: Annotated[bool, typer.Option("--contained", help="Users with a password instead of logins.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Write one file per database here.")] = None,
) -> None:
    """The T-SQL that lets the agent in, one script per database, for the administrators of the servers."""
    found = session.client.get(
        path("targetGroups", group, "userSetup"),
        access=access or None,
        credential=credential,
        contained="true" if contained else None,
    )
    if folder is not None:
        _write_scripts(session, folder, found["scripts"])
    elif not session.printer.value(found):
        for script in found["scripts"]:
            session.printer.line(f"-- {cell(script['serverName'])}, database {cell(script['databaseName'])}")
            session.printer.line(script["sql"].rstrip() + "\n")
    _warn_of_refused(session, found)
    _warn_of_failures(session, found)
    if not found["complete"]:
        session.warn("These are the scripts for what is known by name; run them, and ask again.")
        raise typer.Exit(ExitCode.FAILED)


def _warn_of_refused(session: Session, found: dict[str, Any]) -> None:
    for each in found["refused"]:
        session.warn(f"{each['serverName']}/{each['databaseName']} is refused: {each['reason']}")


def _warn_of_failures(session: Session, found: dict[str, Any]) -> None:
    for each in found["failures"]:
        session.warn(f"The {each['what']} could not be asked: {each['error']}")


def obstacle(target: dict[str, Any]) -> str:
    """The first thing that is in the way of a database, or what to keep in mind about it."""
    for status in ("failed", "warning", "skipped"):
        for check in target["checks"]:
            if check["status"] == status and (status != "skipped" or not target["ready"]):
                return f"{check['check']}: {check['message']}"
    return ""


def member_text(member: dict[str, Any]) -> str:
    """A member in a few words."""
    kind, server = member["type"], member.get("serverName", "")
    if kind == "SqlDatabase":
        return f"{server}/{member['databaseName']}"
    if kind == "SqlElasticPool":
        return f"{server} pool {member['elasticPoolName']}"
    if kind == "SqlShardMap":
        return f"{server}/{member['databaseName']} shard map {member['shardMapName']}"
    return str(server)


def _write_scripts(session: Session, folder: Path, scripts: list[dict[str, Any]]) -> None:
    stems = file_stems(f"{script['serverName']}.{script['databaseName']}" for script in scripts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            stem = stems[f"{script['serverName']}.{script['databaseName']}"]
            (folder / f"{stem}.sql").write_text(script["sql"], encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}.") from error
    session.note(f"{len(scripts)} scripts are in {folder}.")


def _members(group: dict[str, Any], membership: str) -> list[str]:
    return [member_text(each) for each in group["properties"]["members"] if each["membershipType"] == membership]


def _member(
    membership: str, server: str, database: str | None, pool: str | None, shard_map: str | None, refresh: str | None
) -> dict[str, Any]:
    if pool and (database or shard_map):
        raise UsageError("--pool means all databases of the pool; leave --database and --shard-map out.")
    if shard_map and not database:
        raise UsageError("--shard-map needs --database, in which the shard map is.")
    kind = "SqlElasticPool" if pool else "SqlShardMap" if shard_map else "SqlDatabase" if database else "SqlServer"
    found = {
        "membershipType": membership,
        "type": kind,
        "serverName": server,
        "databaseName": database,
        "elasticPoolName": pool,
        "shardMapName": shard_map,
        "refreshCredential": refresh,
    }
    return {key: value for key, value in found.items() if value is not None}


def _change(session: Session, group: str, member: dict[str, Any]) -> None:
    current = body_of(session.client.get(path("targetGroups", group)))["members"]
    _print(session, session.client.put(path("targetGroups", group), {"properties": {"members": [*current, member]}}))


def _key(member: dict[str, Any]) -> tuple[str, ...]:
    names = ("type", "serverName", "databaseName", "elasticPoolName", "shardMapName")
    return tuple(str(member.get(name, "")).casefold() for name in names)


def _same(member: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    kind, server, *rest = member
    return (kind, rest) == (wanted[0], list(wanted[2:])) and (
        server == wanted[1] or server.partition(".")[0] == wanted[1] or server == wanted[1].partition(".")[0]
    )


def _print(session: Session, group: dict[str, Any]) -> None:
    listed = [
        f"{each['membershipType'].lower()} {member_text(each)}"
        + (f" (listed with {name_of(each['refreshCredential'])})" if each.get("refreshCredential") else "")
        for each in group["properties"]["members"]
    ]
    session.printer.fields(group, [("name", group["name"]), ("members", "\n".join(listed) or "none yet")])
