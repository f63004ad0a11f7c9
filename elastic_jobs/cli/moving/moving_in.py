"""Brings what a source defines to an agent: source, definitions, plan, apply; the same way as files go.

Credentials come by name. Each that is missing is created with its user name and a random secret that nobody knows, so
that all that needs it can come too; its real secret is to be set before anything is switched on.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.errors import ApiError, NoAccess
from elastic_jobs.cli.files.applying import Applied, apply_plan
from elastic_jobs.cli.files.model import Definitions, key
from elastic_jobs.cli.files.plan import Plan, make_plan
from elastic_jobs.cli.files.state import AgentState, read_state
from elastic_jobs.cli.moving.adapting import adapt
from elastic_jobs.cli.moving.report import report_lines
from elastic_jobs.cli.moving.source import Finding, Outcome, Source, SourceCredential

_FORBIDDEN = 403


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a move would do. credentials: those to create."""

    source: Source
    state: AgentState
    credentials: tuple[SourceCredential, ...]
    wanted: Definitions
    plan: Plan
    findings: tuple[Finding, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.plan.changes and not self.credentials


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a move did. secrets: names of credentials whose secrets are to be set, with their user names."""

    lines: tuple[Finding, ...]
    secrets: dict[str, str | None]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left that can be moved."""
        return all(line.outcome is not Outcome.NOT_MOVED for line in self.lines)


def plan_move(client: Client, source: Source, *, enable: bool, create_credentials: bool = True) -> Move:
    """What a move would do now; nothing is changed.

    enable: switch schedules on as in the source. create_credentials: with random secrets, those that are missing.
    """
    state = read_state(client)
    missing = () if state.has_identity or not create_credentials else tuple(_missing(source, state))
    return _move(source, state, missing, _credential_findings(source, state, missing), enable=enable)


def _missing(source: Source, state: AgentState) -> Iterator[SourceCredential]:
    known = {key(name) for name in state.credentials}
    return (credential for credential in source.credentials if key(credential.name) not in known)


def _move(
    source: Source,
    state: AgentState,
    missing: tuple[SourceCredential, ...],
    findings: tuple[Finding, ...],
    *,
    enable: bool,
    unset: frozenset[str] | None = None,
) -> Move:
    expected = replace(state, credentials=state.credentials | {each.name: each.username or "" for each in missing})
    to_set = frozenset(key(each.name) for each in missing) if unset is None else unset
    adapted = adapt(source, expected, enable=enable, unset=to_set)
    plan = replace(make_plan(adapted.definitions, expected, prune=False), kept=())
    return Move(
        source=source,
        state=state,
        credentials=missing,
        wanted=adapted.definitions,
        plan=plan,
        findings=(*source.findings, *findings, *adapted.findings),
    )


def _credential_findings(
    source: Source, state: AgentState, missing: tuple[SourceCredential, ...]
) -> tuple[Finding, ...]:
    created = {key(credential.name) for credential in missing}
    known = {key(name) for name in state.credentials}

    def finding(credential: SourceCredential) -> Finding:
        if state.has_identity:
            outcome, reason = Outcome.STAYS, "This agent reaches its targets by its identity."
        elif key(credential.name) in known:
            outcome, reason = Outcome.UNCHANGED, "It is here already; its secret cannot be compared."
        elif key(credential.name) in created:
            guessed = "" if credential.username else " The source does not tell its user name: set that, too."
            outcome, reason = Outcome.CREATED, f"Its secret is still to be set.{guessed}"
        else:
            outcome, reason = Outcome.NOT_MOVED, "It is not here; create it, and import again."
        return Finding(kind="credential", name=credential.name, outcome=outcome, reason=reason)

    return tuple(finding(credential) for credential in source.credentials)


def carry_out(client: Client, move: Move, *, enable: bool) -> Moved:
    """Do it; what the API refuses is left out with what needs it, and told.

    Raises:
        CliError: the API cannot be asked any more, or lets us change nothing.
    """
    refused: dict[str, str] = {}
    for credential in move.credentials:
        reason = _create(client, credential)
        if reason is not None:
            refused[credential.name] = reason
    if refused:
        move = _without(client, move, refused, enable=enable)
    applied = apply_plan(client, move.plan, move.state.agent_id, keep_going=True) if move.plan.changes else Applied()
    lines = report_lines(move.source, move.wanted, move.plan, applied, move.findings)
    to_set = {each.name: each.username for each in move.credentials if each.name not in refused}
    return Moved(lines=tuple(lines), secrets=to_set)


def _without(client: Client, move: Move, refused: dict[str, str], *, enable: bool) -> Move:
    """The move without what needs a credential that could not be created."""
    findings = tuple(
        Finding(kind="credential", name=name, outcome=Outcome.NOT_MOVED, reason=reason)
        for name, reason in refused.items()
    )
    others = tuple(
        finding
        for finding in _credential_findings(move.source, move.state, move.credentials)
        if finding.name not in refused
    )
    unset = frozenset(key(credential.name) for credential in move.credentials)
    again = _move(move.source, read_state(client), (), (*others, *findings), enable=enable, unset=unset)
    return replace(again, credentials=move.credentials)


def _create(client: Client, credential: SourceCredential) -> str | None:
    """Create a credential with a secret that nobody knows; why not, when it is refused."""
    properties: dict[str, object] = {
        "username": credential.username or credential.name,
        # Long, and with what password rules ask for.
        "password": f"{secrets.token_urlsafe(32)}aA1!",
    }
    if credential.allowed_servers is not None:
        properties["allowedServers"] = list(credential.allowed_servers)
    try:
        client.put(path("credentials", credential.name), {"properties": properties})
    except ApiError as error:
        return str(error)
    except NoAccess as error:
        if error.status != _FORBIDDEN:
            raise
        return f"{error} Create it with the role CredentialAdmin, and import again."
    return None
