"""What clients send. Unknown properties are ignored, ``null`` means absent (but for ``ServerList``), and defaults are
the server's business: new SDKs send none, old ones send all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator
from pydantic.alias_generators import to_camel

from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START
from elastic_jobs.domain.targets import MembershipType, TargetType
from elastic_jobs.jobdb.definitions.checks import invalid
from elastic_jobs.jobdb.definitions.private_endpoints import ConnectionStatus

_Enum = TypeVar("_Enum", bound=StrEnum)
_INT32 = 2**31 - 1
LONGEST_TRIAL_SECONDS = 200
"""The front end of a Functions app gives up on an answer after 230 s."""
_MOST_ENTRIES = 1000
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class ScheduleType(StrEnum):
    ONCE = "Once"
    RECURRING = "Recurring"


class ActionType(StrEnum):
    TSQL = "TSql"


class ActionSource(StrEnum):
    INLINE = "Inline"


class OutputType(StrEnum):
    SQL_DATABASE = "SqlDatabase"


def _spelled(kind: type[_Enum]) -> Callable[[Any], Any]:
    """Reads a word of an enumeration without regard to case."""
    words = {word.value.lower(): word for word in kind}

    def read(value: Any) -> Any:
        return words.get(value.lower(), value) if isinstance(value, str) else value

    return read


def _not_too_many(value: Any) -> Any:
    """Refuses an object or list before its entries are looked at: telling what is wrong with each of thousands takes
    seconds, in which the event loop does nothing else."""
    if isinstance(value, (dict, list)) and len(value) > _MOST_ENTRIES:
        raise ValueError(f"there are {len(value)} entries; {_MOST_ENTRIES} are more than can be needed")
    return value


_FewEntries = BeforeValidator(_not_too_many)


def _refuse_half_characters(value: Any) -> None:
    """JSON can spell half a character (a lone surrogate); no database column can hold one."""
    texts = [value] if isinstance(value, str) else []
    if isinstance(value, list):  # servers
        texts = [text for text in value if isinstance(text, str)]
    if isinstance(value, dict):  # tags
        texts = [text for text in (*value.keys(), *value.values()) if isinstance(text, str)]
    for text in texts:
        if _HALF_CHARACTER.search(text):
            raise ValueError("the text holds half a character (a lone surrogate)")


class Wire(BaseModel):
    """A JSON object of the management API."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", hide_input_in_errors=True)
    nulls_that_count: ClassVar[frozenset[str]] = frozenset()
    """Properties, as JSON spells them, whose ``null`` says something else than their absence."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for value in data.values():
            _refuse_half_characters(value)
        return {key: value for key, value in data.items() if value is not None or key in cls.nulls_that_count}


class SkuBody(Wire):
    name: str | None = None
    capacity: int | None = None


class ServerList(Wire):
    """Something that has a list of the servers it may be sent to (not part of Azure's API)."""

    nulls_that_count: ClassVar[frozenset[str]] = frozenset({"allowedServers"})
    allowed_servers: Annotated[list[str] | None, _FewEntries] = Field(
        default=None,
        description="Beyond Azure: server names and *.suffix, within the deployment's list. Absent: what is set stays; "
        "null: no list of its own.",
    )

    @property
    def servers(self) -> tuple[str, ...] | None:
        """What to save: None leaves the list as it is, an empty one removes it.

        Raises:
            InvalidDefinitionError: a list without any server, which would read as "nowhere".
        """
        if "allowed_servers" not in self.model_fields_set:
            return None
        if self.allowed_servers == []:
            raise invalid(
                "The allowedServers are empty, so that no server could be reached; name servers, write null to remove "
                "the list, or leave the property out to keep what is set."
            )
        return tuple(self.allowed_servers or ())


class IdentityValueBody(ServerList):
    client_id: str | None = None


class IdentityBody(Wire):
    type: str | None = None
    tenant_id: str | None = None
    user_assigned_identities: Annotated[dict[str, IdentityValueBody | None], _FewEntries] = Field(default_factory=dict)


class AgentProperties(Wire):
    database_id: str | None = None


class AgentBody(Wire):
    """PUT of an agent. ``name`` counts under the short prefix only, where the path has none."""

    name: str | None = None
    location: str
    tags: Annotated[dict[str, str], _FewEntries] = Field(default_factory=dict)
    sku: SkuBody | None = None
    identity: IdentityBody | None = None
    properties: AgentProperties = Field(default_factory=AgentProperties)


class AgentUpdateBody(Wire):
    """PATCH of an agent; what is absent stays as it is."""

    tags: Annotated[dict[str, str], _FewEntries] | None = None
    sku: SkuBody | None = None
    identity: IdentityBody | None = None


class CredentialProperties(ServerList):
    username: str
    password: str = Field(repr=False)


class CredentialBody(Wire):
    properties: CredentialProperties


class PrivateEndpointProperties(Wire):
    target_server_azure_resource_id: str


class PrivateEndpointBody(Wire):
    properties: PrivateEndpointProperties


class ConnectionBody(Wire):
    """What became of a private endpoint's connection (not part of Azure's API)."""

    status: Annotated[ConnectionStatus, BeforeValidator(_spelled(ConnectionStatus))]
    description: str = ""


class MemberBody(Wire):
    membership_type: Annotated[MembershipType, BeforeValidator(_spelled(MembershipType))] = MembershipType.INCLUDE
    type: Annotated[TargetType, BeforeValidator(_spelled(TargetType))]
    server_name: str = ""
    database_name: str | None = None
    elastic_pool_name: str | None = None
    shard_map_name: str | None = None
    refresh_credential: str | None = None


class TargetGroupProperties(Wire):
    # One wrong member is told, not each of thousands: that would keep the event loop busy for seconds.
    members: Annotated[list[MemberBody], FailFast()]


class TargetGroupBody(Wire):
    properties: TargetGroupProperties


class PreflightBody(Wire):
    """As whom to try a target group out, and how long (not part of Azure's API)."""

    credential: str | None = Field(default=None, description="Of the job; none where the agent has an identity.")
    time_limit_seconds: Annotated[int, Field(ge=1, le=LONGEST_TRIAL_SECONDS)] = 60


class ScheduleBody(Wire):
    start_time: datetime = DEFAULT_START
    end_time: datetime = DEFAULT_END
    type: Annotated[ScheduleType, BeforeValidator(_spelled(ScheduleType))] = ScheduleType.ONCE
    enabled: bool = False
    interval: str | None = None


class JobProperties(Wire):
    description: str = ""
    schedule: ScheduleBody = Field(default_factory=ScheduleBody)


class JobBody(Wire):
    properties: JobProperties = Field(default_factory=JobProperties)


class ActionBody(Wire):
    type: Annotated[ActionType, BeforeValidator(_spelled(ActionType))] = ActionType.TSQL
    source: Annotated[ActionSource, BeforeValidator(_spelled(ActionSource))] = ActionSource.INLINE
    value: str


class OutputBody(Wire):
    type: Annotated[OutputType, BeforeValidator(_spelled(OutputType))] = OutputType.SQL_DATABASE
    subscription_id: str | None = None
    resource_group_name: str | None = None
    server_name: str
    database_name: str
    schema_name: str = "dbo"
    table_name: str
    credential: str | None = None


class ExecutionOptionsBody(Wire):
    timeout_seconds: int = 43200
    retry_attempts: int = 10
    initial_retry_interval_seconds: int = 1
    maximum_retry_interval_seconds: int = 120
    retry_interval_backoff_multiplier: float = 2.0


class StepProperties(Wire):
    """``maxParallelism`` is not in Azure's HTTP API (it is in its T-SQL): absent keeps what is set, -1 removes it."""

    step_id: int | None = None
    target_group: str
    credential: str | None = None
    action: ActionBody
    output: OutputBody | None = None
    execution_options: ExecutionOptionsBody = Field(default_factory=ExecutionOptionsBody)
    max_parallelism: Annotated[int, Field(ge=-1, le=_INT32)] | None = None


class StepBody(Wire):
    properties: StepProperties
