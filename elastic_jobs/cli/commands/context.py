"""``login`` and ``context``: which endpoints there are, and how to sign in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from elastic_jobs.cli.client import Client, checked_endpoint
from elastic_jobs.cli.commands.common import read_secret
from elastic_jobs.cli.contexts import Context, read_stack, with_endpoint
from elastic_jobs.cli.errors import CliError, UsageError
from elastic_jobs.cli.output import Column
from elastic_jobs.cli.session import Session, command
from elastic_jobs.cli.tokens import LOCAL_AUDIENCE, claims_of, scope_for, token_source

app = typer.Typer(no_args_is_help=True, help="The endpoints that the command knows.")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ContextName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the context.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="context")
    command(
        root,
        "login",
        example="""
            elastic-jobs login --local
            elastic-jobs login https://my-jobs.azurewebsites.net --name prod
            elastic-jobs login https://my-jobs.azurewebsites.net --scope api://elastic-jobs/.default
            elastic-jobs login http://127.0.0.1:7071 --token-stdin < token.txt
        """,
    )(login)


def login(
    session: Session,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="URL of the app.")] = None,
    local: Annotated[bool, typer.Option("--local", help="The local stack that 'make serve' runs.")] = False,
    folder: Annotated[Path, typer.Option(help="With --local: the folder of its endpoint.json.")] = Path(".local"),
    name: Annotated[str | None, typer.Option(help="Name of the context; else it follows from the endpoint.")] = None,
    scope: Annotated[str | None, typer.Option(help="Scope of Entra ID; else the endpoint is asked for it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of Entra ID when it is not the default one.")] = None,
    token_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Environment variable that holds the token (local mode).")
    ] = None,
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read the token from standard input.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Trust the scope that the endpoint names.")] = False,
) -> None:
    """Sign in to an endpoint and make it the current context.

    With Entra ID nothing is stored but the endpoint and the scope: tokens come from 'az login', a managed identity or
    the environment whenever they are needed. In local mode a token is asked for, and stored for its owner only.
    """
    if local:
        if endpoint is not None:
            raise UsageError("--local takes the endpoint from the stack's file; leave the endpoint out.")
        context = Context(name=name or "local", file=str((folder / "endpoint.json").resolve()))
        read_stack(Path(context.file or ""))
    else:
        wanted = checked_endpoint(endpoint or _asked_endpoint())
        base = Context(name=name or (urlsplit(wanted).hostname or "").partition(".")[0], endpoint=wanted, tenant=tenant)
        context = _signed(session, base, scope=scope, token_env=token_env, token_stdin=token_stdin, yes=yes)
    if not _NAME.fullmatch(context.name):
        raise UsageError(f"'{context.name}' cannot name a context; use letters, digits, '.', '_' and '-' (--name).")
    ready = with_endpoint(context)
    greeting = _greeting(ready)
    session.contexts.put(context)
    session.note(greeting)


@command(app, "list", example="elastic-jobs context list")
def list_contexts(session: Session) -> None:
    """The contexts that there are."""
    contexts = session.contexts
    rows = [
        {
            "name": each.name,
            "current": each.name == contexts.current,
            "endpoint": each.endpoint or each.file,
            "signIn": each.kind,
        }
        for each in contexts.known.values()
    ]
    session.printer.rows(
        rows,
        [
            Column("NAME", lambda row: row["name"]),
            Column("CURRENT", lambda row: row["current"]),
            Column("ENDPOINT", lambda row: row["endpoint"]),
            Column("SIGN-IN", lambda row: row["signIn"]),
        ],
    )


@command(app, "show", example="elastic-jobs context show")
def show_context(session: Session) -> None:
    """The context of this call, and as whom one comes; the token itself is not shown."""
    context = session.context()
    token = token_source(context)()
    claims = claims_of(token)
    value = {
        "name": context.name,
        "endpoint": context.endpoint,
        "signIn": context.kind,
        "scope": context.scope,
        "tenant": context.tenant,
        "caller": claims.get("upn") or claims.get("preferred_username") or claims.get("sub"),
        "roles": claims.get("roles", []),
    }
    value = {key: each for key, each in value.items() if each}
    session.printer.fields(value, value.items())


@command(app, "use", example="elastic-jobs context use prod")
def use_context(session: Session, name: ContextName) -> None:
    """Make a context the current one."""
    session.contexts.use(name)
    session.note(f"The current context is now '{name}'.")


@command(app, "remove", example="elastic-jobs context remove prod")
def remove_context(session: Session, name: ContextName) -> None:
    """Forget a context."""
    session.contexts.remove(name)
    session.note(f"The context '{name}' is forgotten.")


def _asked_endpoint() -> str:
    if not sys.stdin.isatty():
        raise UsageError("The endpoint is missing: elastic-jobs login https://my-jobs.azurewebsites.net")
    return str(typer.prompt("Endpoint", err=True))


def _signed(
    session: Session, base: Context, *, scope: str | None, token_env: str | None, token_stdin: bool, yes: bool
) -> Context:
    """The context with a way to sign in: the token that was given, or the scope of Entra ID."""
    if token_env or token_stdin:
        return _with_token(base, read_secret("token", variable=token_env, stdin=token_stdin))
    if scope:
        return _with_scope(base, scope)
    audiences = _audiences(base.endpoint)
    if LOCAL_AUDIENCE in audiences:
        return _with_token(base, read_secret("token", variable=None, stdin=False))
    found = scope_for(audiences)
    # An endpoint that somebody made up could name the app of somebody else, and would get a token for it.
    session.confirm(f"{base.endpoint} asks for a token of {found}. Is this its app?", yes=yes)
    return _with_scope(base, found)


def _with_token(base: Context, token: str) -> Context:
    return Context(name=base.name, endpoint=base.endpoint, token=token)


def _with_scope(base: Context, scope: str) -> Context:
    return Context(name=base.name, endpoint=base.endpoint, scope=scope, tenant=base.tenant)


def _audiences(endpoint: str) -> list[str]:
    """What the endpoint, asked without a token, says for whom a token must be."""
    with Client(endpoint, None) as client:
        found, _ = client.outside("/metadata/endpoints")
    try:
        return [str(each) for each in found["authentication"]["audiences"]]
    except (KeyError, TypeError) as error:
        raise CliError(f"{endpoint} does not tell how to sign in; is it the endpoint of Elastic Jobs?") from error


def _greeting(context: Context) -> str:
    """Whom the endpoint takes us for.

    Raises:
        NoAccess: it does not let us in. Unreachable: it does not answer.
    """
    token = token_source(context)
    roles = ", ".join(str(role) for role in claims_of(token()).get("roles", [])) or "none that the token tells"
    with Client(context.endpoint, token) as client:
        agent = client.agent()
    if agent is None:
        about = "it has no agent yet: elastic-jobs agent create NAME --location LOCATION"
    else:
        about = f"its agent is '{agent['name']}'"
    return f"Signed in to {context.endpoint} as '{context.name}' (roles: {roles}); {about}."
