"""What a source of a move holds, and what becomes of each part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from elastic_jobs.cli.errors import CliError
from elastic_jobs.cli.files import wire
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition

AnyDefinition = TypeVar("AnyDefinition", GroupDefinition, JobDefinition)


class SourceError(CliError):
    """The source cannot be read."""


class Outcome(StrEnum):
    """What became of one thing."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    ADAPTED = "adapted"
    """It moved, but not exactly as it was; the reason says what differs."""
    NOT_MOVED = "not moved"
    STAYS = "stays behind"
    """It is of a kind that is not moved."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report. kind: credential, target group, job, step, private endpoint, agent, history."""

    kind: str
    name: str
    outcome: Outcome
    reason: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {"kind": self.kind, "name": self.name, "outcome": self.outcome.value, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class SourceCredential:
    """A credential without its secret. username: None when the source does not tell. allowed_servers: of ours only."""

    name: str
    username: str | None = None
    allowed_servers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """All that was read from a source. called: for the report. findings: what could not be read, or is never moved."""

    called: str
    definitions: Definitions
    credentials: tuple[SourceCredential, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass
class Gathered:
    """Collects resources as the management API writes them; what cannot be understood becomes a finding."""

    groups: list[GroupDefinition] = field(default_factory=list)
    jobs: list[JobDefinition] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add_groups(self, resources: Iterable[Mapping[str, Any]]) -> None:
        """Target groups."""
        for resource in resources:
            self._read("target group", resource, self.groups, lambda each=resource: wire.read_group(each))  # type: ignore[misc]

    def add_job(self, resource: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
        """A job with the steps of its current version."""
        self._read("job", resource, self.jobs, lambda: wire.read_job(resource, steps))

    def _read(
        self, kind: str, resource: Mapping[str, Any], into: list[AnyDefinition], read: Callable[[], AnyDefinition]
    ) -> None:
        try:
            into.append(read())
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            reason = f"It cannot be understood: {error}"
            name = str(resource.get("name"))
            self.findings.append(Finding(kind=kind, name=name, outcome=Outcome.NOT_MOVED, reason=reason))

    def source(
        self,
        called: str,
        agent: Mapping[str, Any],
        *,
        credentials: Iterable[Mapping[str, Any]],
        endpoints: Iterable[Mapping[str, Any]],
    ) -> Source:
        """All that was understood, with the agent's credentials and what never moves. called: for the report."""
        return Source(
            called=called,
            definitions=Definitions(groups=tuple(self.groups), jobs=tuple(self.jobs)).sorted(),
            credentials=tuple(_credential(each) for each in credentials),
            findings=(*self.findings, *_identity_left(agent), *_endpoints_left(endpoints), HISTORY),
        )


def _credential(resource: Mapping[str, Any]) -> SourceCredential:
    """A credential as the management API writes it."""
    properties = resource.get("properties") or {}
    servers = properties.get("allowedServers")
    return SourceCredential(
        name=str(resource["name"]),
        username=properties.get("username") or None,
        allowed_servers=None if servers is None else tuple(servers),
    )


def _endpoints_left(resources: Iterable[Mapping[str, Any]]) -> Iterable[Finding]:
    """Private endpoints, which belong to a network."""
    for resource in resources:
        server = (resource.get("properties") or {}).get("targetServerAzureResourceId", "")
        reason = f"It belongs to the source's network; ask for one to {server} where it is needed."
        yield Finding(kind="private endpoint", name=str(resource["name"]), outcome=Outcome.STAYS, reason=reason)


HISTORY = Finding(
    kind="history", name="", outcome=Outcome.STAYS, reason="Runs and older versions of jobs are not moved."
)


def _identity_left(agent: Mapping[str, Any]) -> Iterable[Finding]:
    """The source's identity: each agent has its own."""
    for name in (agent.get("identity") or {}).get("userAssignedIdentities") or {}:
        reason = "Give the agent its own identity with 'elastic-jobs agent update'; it needs users in the targets."
        yield Finding(kind="identity", name=str(name), outcome=Outcome.STAYS, reason=reason)
