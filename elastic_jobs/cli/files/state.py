"""What an agent holds now, read through the management API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.errors import ApiError, CliError
from elastic_jobs.cli.files import wire
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition, key
from elastic_jobs.cli.runs import job_of, name_of

_NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True)
class AgentState:
    """An agent with its definitions.

    agent_id: its resource id. credentials: names with their user names.
    """

    agent_id: str
    has_identity: bool
    credentials: dict[str, str]
    definitions: Definitions


@dataclass(frozen=True, kw_only=True)
class Running:
    """What active executions need. jobs: by the keys of their names; groups: the same, each with a job that uses it."""

    jobs: frozenset[str] = frozenset()
    groups: Mapping[str, str] = field(default_factory=dict)

    def user_of(self, group_name: str) -> str | None:
        """A job that runs on this target group now."""
        return self.groups.get(key(group_name))


def read_state(client: Client) -> AgentState:
    """All that the agent holds.

    Raises:
        CliError: there is no agent, or something in it this version of the command does not know.
    """
    agent = client.agent()
    if agent is None:
        raise CliError(f"{client.endpoint} has no job agent yet; create it with 'elastic-jobs agent create'.")
    credentials = {item["name"]: str(item["properties"].get("username", "")) for item in client.pages("/credentials")}
    try:
        groups = tuple(wire.read_group(item) for item in client.pages("/targetGroups"))
        jobs = tuple(_jobs(client))
    except ValueError as error:
        raise CliError(f"{client.endpoint} holds what this version of the command does not know: {error}") from error
    return AgentState(
        agent_id=agent["id"],
        has_identity=bool((agent.get("identity") or {}).get("userAssignedIdentities")),
        credentials=credentials,
        definitions=Definitions(groups=groups, jobs=jobs).sorted(),
    )


def _jobs(client: Client) -> Iterator[JobDefinition]:
    for item in client.pages("/jobs"):
        try:
            steps = list(client.pages(path("jobs", item["name"], "steps")))
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            continue  # deleted since it was listed
        yield wire.read_job(item, steps)


def find_group(client: Client, name: str) -> GroupDefinition | None:
    """A target group as it is now, or None."""
    try:
        return wire.read_group(client.get(path("targetGroups", name)))
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        return None


def find_job(client: Client, name: str) -> JobDefinition | None:
    """A job as it is now, or None."""
    try:
        job = client.get(path("jobs", name))
        return wire.read_job(job, list(client.pages(path("jobs", name, "steps"))))
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        return None


def read_running(client: Client) -> Running:
    """What active executions need: their jobs, and the target groups of the versions that they run."""
    jobs: set[str] = set()
    groups: dict[str, str] = {}
    versions: set[tuple[str, int]] = set()
    for item in client.pages("/executions", isActive=True):
        name = job_of(item)
        jobs.add(key(name))
        versions.add((name, int(item["properties"]["jobVersion"])))
    for name, version in sorted(versions):
        try:
            for step in client.pages(path("jobs", name, "versions", version, "steps")):
                groups[key(name_of(step["properties"].get("targetGroup")))] = name
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
    return Running(jobs=frozenset(jobs), groups=groups)
