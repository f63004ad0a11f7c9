"""What clients send. Unknown properties are ignored, ``null`` means absent, and defaults are the server's business:
new SDKs send none, old ones send all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from elastic_jobs.domain.schedule import DEFAULT_END, DEFAULT_START
from elastic_jobs.domain.targets import MembershipType, TargetType

_Enum = TypeVar("_Enum", bound=StrEnum)
_INT32 = 2**31 - 1
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


def _refuse_half_characters(value: Any) -> None:
    """JSON can spell half a character (a lone surrogate); no database column can hold one."""
    texts = [value] if isinstance(value, str) else []
    if isinstance(value, dict):  # tags, identities
        texts = [text for text in (*value.keys(), *value.values()) if isinstance(text, str)]
    for text in texts:
        if _HALF_CHARACTER.search(text):
            raise ValueError("the text holds half a character (a lone surrogate)")


class Wire(BaseModel):
    """A JSON object of the management API."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for value in data.values():
            _refuse_half_characters(value)
        return {key: value for key, value in data.items() if value is not None}


class SkuBody(Wire):
    name: str | None = None
    capacity: int | None = None


class IdentityBody(Wire):
    type: str | None = None
    tenant_id: str | None = None
    user_assigned_identities: dict[str, Any] = Field(default_factory=dict)


class AgentProperties(Wire):
    database_id: str | None = None


class AgentBody(Wire):
    """PUT of an agent. ``name`` counts under the short prefix only, where the path has none."""

    name: str | None = None
    location: str
    tags: dict[str, str] = Field(default_factory=dict)
    sku: SkuBody | None = None
    identity: IdentityBody | None = None
    properties: AgentProperties = Field(default_factory=AgentProperties)


class AgentUpdateBody(Wire):
    """PATCH of an agent; what is absent stays as it is."""

    tags: dict[str, str] | None = None
    sku: SkuBody | None = None
    identity: IdentityBody | None = None


class CredentialProperties(Wire):
    username: str
    password: str = Field(repr=False)


class CredentialBody(Wire):
    properties: CredentialProperties


class MemberBody(Wire):
    membership_type: Annotated[MembershipType, BeforeValidator(_spelled(MembershipType))] = MembershipType.INCLUDE
    type: Annotated[TargetType, BeforeValidator(_spelled(TargetType))]
    server_name: str = ""
    database_name: str | None = None
    elastic_pool_name: str | None = None
    shard_map_name: str | None = None
    refresh_credential: str | None = None


class TargetGroupProperties(Wire):
    members: list[MemberBody]


class TargetGroupBody(Wire):
    properties: TargetGroupProperties


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
