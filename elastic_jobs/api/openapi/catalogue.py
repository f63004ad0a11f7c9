"""What each handler answers and which codes it refuses with (spec of Microsoft.Sql, version 2021-11-01 and 2023-08-01).

One entry per handler, by its name. Codes that every operation has are added by ``document``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elastic_jobs.api.openapi import answers as a
from elastic_jobs.api.openapi import examples as x
from elastic_jobs.api.openapi import extensions as e

EJ = "ElasticJobsOperationFailed"
BODY = "InvalidResourceRequestBody"
PARAMETER = "InvalidParameterValue"
AGENT, RESOURCE = "JobAgentNotFound", "ResourceNotFound"
MISMATCH = (
    "MismatchingSubscriptionWithUrl",
    "MismatchingResourceGroupNameWithUrl",
    "MismatchingServerNameWithUrl",
)
REFERENCES = ("InvalidResourceId", *MISMATCH, "MismatchingJobAccountNameWithUrl")
SIZES = ("MissingSkuName", "SkuMismatchingNameCapacity", "ElasticJobAgentEditionUnsupported")
IDENTITIES = (
    "InvalidIdentityTenantId",
    "MissingIdentityType",
    "InvalidIdentityType",
    "MissingUserAssignedIdentities",
    "MultipleIdentitiesOnJobAgent",
    "InvalidResourceId",
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One handler.

    answers: model of the body by status, None for no body. arm_answers: those under the ARM path where they differ.
    errors: codes by status. sends, gives: examples of bodies.
    """

    answers: Mapping[int, Any]
    errors: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    arm_answers: Mapping[int, Any] | None = None
    sends: Any = None
    gives: Any = None


def _made(model: Any, errors: Mapping[int, tuple[str, ...]], sends: Any, gives: Any, **more: Any) -> Entry:
    return Entry(answers={201: model, 200: model}, errors=errors, sends=sends, gives=gives, **more)


def _deleted(*errors: str, **more: Any) -> Entry:
    return Entry(answers={200: None, 204: None}, errors={400: errors} if errors else {}, **more)


def _read(model: Any, gives: Any, *, here: tuple[str, ...] = (AGENT, RESOURCE), wrong: tuple[str, ...] = ()) -> Entry:
    return Entry(answers={200: model}, errors={404: here} | ({400: wrong} if wrong else {}), gives=gives)


def _list(model: Any, example: Any, *, here: tuple[str, ...] = (AGENT,)) -> Entry:
    return _read(a.Page[model], {"value": [example]}, here=here, wrong=(PARAMETER,))


_ACCEPTED = {202: a.OperationAccepted}
_HERE = {404: (AGENT, RESOURCE)}
_SERVER_LIST = ("JobCredentialPermissionError",)
"""Of the list of servers of the agent's identity, which not every Contributor may change."""
_ENDPOINT = (
    BODY,
    EJ,
    PARAMETER,
    "TokenTooLong",
    "InvalidIdentifier",
    "ElasticJobAgentResourceAlreadyExists",
    "PropertyChangeUnsupported",
)
_AGENT_PUT = (
    BODY,
    "InvalidDatabaseResourceId",
    "DatabaseDoesNotExist",
    "CannotUseReservedDatabaseName",
    "JobAgentDatabaseAlreadyLinked",
    *MISMATCH,
    *SIZES,
    *IDENTITIES,
)

CATALOGUE: Mapping[str, Entry] = {
    # the agent
    "list_agents": _read(a.Page[a.AgentAnswer], {"value": [x.AGENT]}, here=()),
    "get_agent": _read(a.AgentAnswer, x.AGENT, here=(AGENT,)),
    "put_agent": _made(
        a.AgentAnswer,
        {400: _AGENT_PUT, 403: _SERVER_LIST, 404: ("PropertyChangeUnsupported",)},
        x.AGENT_BODY,
        x.AGENT,
        arm_answers=_ACCEPTED,
    ),
    "patch_agent": Entry(
        answers={200: a.AgentAnswer},
        arm_answers=_ACCEPTED,
        errors={400: (BODY, *SIZES, *IDENTITIES), 403: _SERVER_LIST, 404: (AGENT,)},
        sends=x.AGENT_UPDATE,
        gives=x.AGENT,
    ),
    "delete_agent": Entry(
        answers={200: None, 204: None},
        arm_answers={**_ACCEPTED, 204: None},
        errors={403: _SERVER_LIST, 409: ("ElasticJobAgentOperationUnavailable",)},
    ),
    # credentials
    "list_credentials": _list(a.CredentialAnswer, x.CREDENTIAL),
    "get_credential": _read(a.CredentialAnswer, x.CREDENTIAL),
    "put_credential": _made(
        a.CredentialAnswer,
        {400: (BODY, "InvalidJobCredentialUsername", EJ), 404: (AGENT,)},
        x.CREDENTIAL_BODY,
        x.CREDENTIAL,
    ),
    "delete_credential": _deleted(EJ),
    # target groups
    "list_target_groups": _list(a.TargetGroupAnswer, x.TARGET_GROUP),
    "get_target_group": _read(a.TargetGroupAnswer, x.TARGET_GROUP),
    "put_target_group": _made(
        a.TargetGroupAnswer,
        {400: (BODY, EJ, *REFERENCES), 404: (AGENT,)},
        x.TARGET_GROUP_BODY,
        x.TARGET_GROUP,
    ),
    "delete_target_group": _deleted(EJ),
    "resolve_target_group": _read(e.ResolvedAnswer, x.RESOLVED),
    "preflight_target_group": Entry(
        answers={200: e.TriedAnswer},
        errors={400: (BODY, EJ, *REFERENCES), **_HERE},
        sends=x.PREFLIGHT_BODY,
        gives=x.TRIED,
    ),
    "get_user_setup": _read(e.UserSetupAnswer, x.USER_SETUP, wrong=(PARAMETER, EJ, *REFERENCES)),
    # jobs
    "list_jobs": _list(a.JobAnswer, x.JOB),
    "get_job": _read(a.JobAnswer, x.JOB),
    "put_job": _made(a.JobAnswer, {400: (BODY, EJ, "InvalidDuration"), 404: (AGENT,)}, x.JOB_BODY, x.JOB),
    "delete_job": _deleted(EJ, PARAMETER),
    "preview_schedule": _read(e.PreviewAnswer, x.PREVIEW, wrong=(PARAMETER, "InvalidDuration", BODY)),
    "list_versions": _list(a.VersionAnswer, x.VERSION, here=(AGENT, RESOURCE)),
    "get_version": _read(a.VersionAnswer, x.VERSION),
    # steps
    "list_steps": _read(a.Page[a.StepAnswer], {"value": [x.STEP]}),
    "get_step": _read(a.StepAnswer, x.STEP),
    "put_step": _made(a.StepAnswer, {400: (BODY, EJ, *REFERENCES), **_HERE}, x.STEP_BODY, x.STEP),
    "delete_step": Entry(answers={200: None, 204: None}, errors={400: (EJ,), **_HERE}),
    "list_steps_by_version": _read(a.Page[a.StepAnswer], {"value": [x.VERSION_STEP]}),
    "get_step_by_version": _read(a.StepAnswer, x.VERSION_STEP),
    # executions
    "start_job": Entry(answers={200: a.ExecutionAnswer}, errors={400: (EJ,), **_HERE}, gives=x.EXECUTION),
    "put_execution": _made(a.ExecutionAnswer, {400: (EJ, PARAMETER), **_HERE}, None, x.EXECUTION),
    "get_execution": _read(a.ExecutionAnswer, x.EXECUTION),
    "cancel_execution": Entry(answers={200: None}, errors=_HERE),
    "rerun_execution": Entry(answers={200: a.ExecutionAnswer}, errors={400: (EJ,), **_HERE}, gives=x.RERUN),
    "list_executions_by_agent": _list(a.ExecutionAnswer, x.EXECUTION),
    "list_executions_by_job": _list(a.ExecutionAnswer, x.EXECUTION, here=(AGENT, RESOURCE)),
    "list_step_executions": _list(a.ExecutionAnswer, x.STEP_EXECUTION, here=(AGENT, RESOURCE)),
    "get_step_execution": _read(a.ExecutionAnswer, x.STEP_EXECUTION),
    "list_target_executions": _list(a.ExecutionAnswer, x.TARGET_EXECUTION, here=(AGENT, RESOURCE)),
    "list_target_executions_by_step": _list(a.ExecutionAnswer, x.TARGET_EXECUTION, here=(AGENT, RESOURCE)),
    "get_target_execution": _read(a.ExecutionAnswer, x.TARGET_EXECUTION),
    "list_messages": _list(e.MessageAnswer, x.MESSAGE, here=(AGENT, RESOURCE)),
    "get_progress": _read(a.Page[e.ProgressAnswer], {"value": [x.PROGRESS]}),
    "list_error_groups": _read(a.Page[e.ErrorGroupAnswer], {"value": [x.ERROR_GROUP]}),
    # private endpoints
    "list_private_endpoints": _list(a.PrivateEndpointAnswer, x.PRIVATE_ENDPOINT),
    "get_private_endpoint": _read(a.PrivateEndpointAnswer, x.PRIVATE_ENDPOINT),
    "put_private_endpoint": _made(
        a.PrivateEndpointAnswer,
        {400: _ENDPOINT, 404: (AGENT,)},
        x.PRIVATE_ENDPOINT_BODY,
        x.PRIVATE_ENDPOINT,
        arm_answers=_ACCEPTED,
    ),
    "put_connection": Entry(
        answers={200: a.PrivateEndpointAnswer},
        errors={400: (BODY, EJ), **_HERE},
        sends=x.CONNECTION_BODY,
        gives=x.PRIVATE_ENDPOINT,
    ),
    "delete_private_endpoint": _deleted(arm_answers={**_ACCEPTED, 204: None}),
    # operations and provider
    "get_operation_status": _read(
        a.OperationStatus, x.OPERATION_STATUS, here=("OperationIdNotFound", "SubscriptionNotFound")
    ),
    "get_operation_result": Entry(
        answers={200: a.AgentAnswer, 204: None},
        errors={404: ("OperationIdNotFound", "SubscriptionNotFound", AGENT)},
        gives=x.AGENT,
    ),
    "get_private_endpoint_operation_result": Entry(
        answers={200: a.PrivateEndpointAnswer, 204: None},
        errors={404: ("OperationIdNotFound", "SubscriptionNotFound", AGENT, RESOURCE)},
        gives=x.PRIVATE_ENDPOINT,
    ),
    "list_provider_operations": _read(a.Page[a.ProviderOperation], {"value": [x.PROVIDER_OPERATION]}, here=()),
    "list_providers": _read(a.Page[a.ProviderAnswer], {"value": [x.PROVIDER]}, here=("SubscriptionNotFound",)),
    "get_provider": _read(a.ProviderAnswer, x.PROVIDER, here=("SubscriptionNotFound",)),
    "register_provider": _read(a.ProviderAnswer, x.PROVIDER, here=("SubscriptionNotFound",)),
    "list_capabilities": _read(
        a.CapabilitiesAnswer, x.CAPABILITIES, here=("SubscriptionNotFound",), wrong=(PARAMETER,)
    ),
    # discovery, audit, health
    "get_endpoints": Entry(answers={200: a.CloudAnswer | list[a.CloudAnswer]}, gives=x.CLOUD),
    "list_tenants": _read(a.Page[a.TenantAnswer], {"value": [x.TENANT]}, here=()),
    "list_subscriptions": _read(a.Page[a.SubscriptionAnswer], {"value": [x.SUBSCRIPTION]}, here=()),
    "get_subscription": _read(a.SubscriptionAnswer, x.SUBSCRIPTION, here=("SubscriptionNotFound",)),
    "get_server": _read(a.ServerAnswer, x.SERVER, here=()),
    "list_audit": _list(a.AuditAnswer, x.AUDIT, here=()),
    "wake": Entry(answers={200: None}, errors={404: (AGENT,)}),
    "health": _read(a.HealthAnswer, {"status": "ok"}, here=()),
}
