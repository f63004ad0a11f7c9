"""The shapes of answers, for the OpenAPI document. Handlers write them by ``envelope``; tests hold the two together.

A property with a default may be absent; none is ever ``null``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.domain.targets import MembershipType
from elastic_jobs.jobdb.definitions.private_endpoints import ConnectionStatus

T = TypeVar("T")
CallerType = Literal["User", "Application"]
_SERVERS = "Beyond Azure: the servers that it may be sent to; absent: all that the deployment allows."


class Shape(BaseModel):
    """A JSON object with exactly these properties."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Page(Shape, Generic[T]):
    """``nextLink``: an absolute URL of the next page; absent on the last."""

    value: list[T]
    next_link: str | None = None


class ErrorBody(Shape):
    code: str
    message: str


class ErrorAnswer(Shape):
    """Every answer that is not a success."""

    error: ErrorBody


class SystemData(Shape):
    """Who made a resource and who changed it last, as far as the audit trail knows."""

    created_by: str | None = None
    created_by_type: CallerType | None = None
    created_at: datetime | None = None
    last_modified_by: str | None = None
    last_modified_by_type: CallerType | None = None
    last_modified_at: datetime | None = None


class Resource(Shape):
    id: str
    name: str
    type: str
    system_data: SystemData | None = None


class Sku(Shape):
    name: str
    capacity: int


class UserAssignedIdentity(Shape):
    client_id: UUID | None = None
    allowed_servers: list[str] | None = Field(default=None, description=_SERVERS)


class IdentityAnswer(Shape):
    type: Literal["UserAssigned"]
    user_assigned_identities: dict[str, UserAssignedIdentity]


class AgentAnswerProperties(Shape):
    database_id: str
    state: Literal["Ready"]


class AgentAnswer(Resource):
    location: str
    tags: dict[str, str]
    sku: Sku
    identity: IdentityAnswer | None = None
    properties: AgentAnswerProperties


class CredentialAnswerProperties(Shape):
    username: str
    allowed_servers: list[str] | None = Field(default=None, description=_SERVERS)


class CredentialAnswer(Resource):
    properties: CredentialAnswerProperties


class MemberAnswer(Shape):
    membership_type: MembershipType
    type: str
    server_name: str
    database_name: str | None = None
    elastic_pool_name: str | None = None
    shard_map_name: str | None = None
    refresh_credential: str | None = None


class TargetGroupAnswerProperties(Shape):
    members: list[MemberAnswer]


class TargetGroupAnswer(Resource):
    properties: TargetGroupAnswerProperties


class ScheduleAnswer(Shape):
    start_time: datetime
    end_time: datetime
    type: Literal["Once", "Recurring"]
    enabled: bool
    interval: str | None = Field(default=None, description="ISO 8601 duration, for Recurring.")


class JobAnswerProperties(Shape):
    description: str
    version: int
    schedule: ScheduleAnswer
    next_run_time: datetime | None = Field(default=None, description="Beyond Azure: when the schedule starts it next.")


class JobAnswer(Resource):
    properties: JobAnswerProperties


class ActionAnswer(Shape):
    type: Literal["TSql"]
    source: Literal["Inline"]
    value: str


class OutputAnswer(Shape):
    type: Literal["SqlDatabase"]
    subscription_id: UUID | None = None
    resource_group_name: str | None = None
    server_name: str
    database_name: str
    schema_name: str
    table_name: str
    credential: str | None = None


class ExecutionOptionsAnswer(Shape):
    timeout_seconds: int
    retry_attempts: int
    initial_retry_interval_seconds: int
    maximum_retry_interval_seconds: int
    retry_interval_backoff_multiplier: float


class StepAnswerProperties(Shape):
    step_id: int
    target_group: str
    credential: str | None = None
    action: ActionAnswer
    output: OutputAnswer | None = None
    execution_options: ExecutionOptionsAnswer
    max_parallelism: int | None = Field(default=None, description="Beyond Azure: databases at once per elastic pool.")


class StepAnswer(Resource):
    properties: StepAnswerProperties


class VersionAnswer(Resource):
    pass


class ExecutionTarget(Shape):
    type: Literal["SqlDatabase"]
    server_name: str
    database_name: str


class ExecutionAnswerProperties(Shape):
    job_version: int
    job_execution_id: UUID
    lifecycle: Lifecycle
    provisioning_state: Literal["Created", "InProgress", "Succeeded", "Failed", "Canceled"]
    create_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    current_attempts: int
    current_attempt_start_time: datetime | None = None
    last_message: str | None = None
    step_name: str | None = None
    step_id: int | None = None
    target: ExecutionTarget | None = None
    next_attempt_start_time: datetime | None = Field(default=None, description="Beyond Azure.")
    scheduled_for: datetime | None = Field(default=None, description="Beyond Azure: the schedule's instant.")
    rerun_of: UUID | None = Field(
        default=None, description="Beyond Azure: the execution whose failed targets these are."
    )
    error_number: int | None = Field(default=None, description="Beyond Azure: SQL Server's error number.")


class ExecutionAnswer(Resource):
    properties: ExecutionAnswerProperties


class ConnectionState(Shape):
    status: ConnectionStatus
    description: str


class PrivateEndpointAnswerProperties(Shape):
    target_server_azure_resource_id: str
    private_endpoint_id: str
    connection_state: ConnectionState = Field(description="Beyond Azure.")


class PrivateEndpointAnswer(Resource):
    properties: PrivateEndpointAnswerProperties


class OperationAccepted(Shape):
    """The change is under way; the headers say where to poll."""

    operation: str
    start_time: datetime


class OperationStatus(Shape):
    name: UUID
    status: Literal["Succeeded"]
    start_time: datetime


class AuditAnswer(Shape):
    id: int
    time: datetime
    caller: str
    action: str
    resource: str
    before: Any = None
    after: Any = None


class HealthAnswer(Shape):
    status: Literal["ok"]


class ResourceTypeAnswer(Shape):
    resource_type: str
    locations: list[str]
    api_versions: list[str]
    default_api_version: str
    capabilities: str


class ProviderAnswer(Shape):
    id: str
    namespace: str
    registration_state: str
    registration_policy: str
    resource_types: list[ResourceTypeAnswer]


class OperationDisplay(Shape):
    provider: str
    resource: str
    operation: str
    description: str


class ProviderOperation(Shape):
    name: str
    display: OperationDisplay
    origin: str
    is_data_action: bool


class ObjectiveCapability(Shape):
    name: str
    sku: Sku
    status: str


class EditionCapability(Shape):
    name: str
    supported_service_level_objectives: list[ObjectiveCapability]
    status: str


class VersionCapability(Shape):
    name: str
    supported_editions: list[EditionCapability]
    status: str


class CapabilitiesAnswer(Shape):
    name: str
    status: str
    reason: str | None = None
    supported_job_agent_versions: list[VersionCapability] | None = None


class TenantAnswer(Shape):
    id: str
    tenant_id: str
    display_name: str
    tenant_category: str


class SubscriptionAnswer(Shape):
    id: str
    subscription_id: str
    display_name: str
    state: str
    tenant_id: str
    authorization_source: str


class ServerProperties(Shape):
    version: str
    state: str
    fully_qualified_domain_name: str


class ServerAnswer(Shape):
    id: str
    name: str
    type: str
    kind: str
    location: str
    properties: ServerProperties


class CloudAuthentication(Shape):
    login_endpoint: str
    audiences: list[str]


class CloudAnswer(Shape):
    name: str
    authentication: CloudAuthentication
    resource_manager: str
    suffixes: dict[str, str]
