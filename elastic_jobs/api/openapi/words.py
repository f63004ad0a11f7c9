"""The words of the OpenAPI document that belong to no single operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ABOUT = """
Run T-SQL scripts across many Azure SQL databases.

The shapes are those of `Microsoft.Sql/servers/jobAgents` of Azure Resource Manager, so that its SDKs, `az rest`,
PowerShell and templates work after a change of the endpoint. Every operation stands under two paths with the same
handler: the full ARM path, where `api-version` is required, and the short one, `/agent`, where bodies may name things
instead of giving their ids, and changes of the agent and of private endpoints answer at once.

Every request carries a bearer token whose roles are named at each operation; each role includes reading.
""".strip()

TAGS: list[dict[str, Any]] = [
    {"name": "agent", "description": "The one job agent of this deployment."},
    {"name": "credentials", "description": "User names and passwords for target servers. Passwords go in only."},
    {"name": "target groups", "description": "Named sets of servers, elastic pools and databases."},
    {"name": "jobs", "description": "Jobs with their one schedule, and their versions."},
    {"name": "steps", "description": "What a job does: a script, where, as whom. A change makes a new version."},
    {"name": "executions", "description": "Runs on three levels: job, step, target."},
    {"name": "private endpoints", "description": "Target servers that are to be reached privately."},
    {"name": "operations", "description": "What clients poll after an answer 202."},
    {"name": "provider", "description": "Registration, operations and capabilities of the resource provider."},
    {"name": "discovery", "description": "What command lines ask before they begin."},
    {"name": "audit", "description": "Who changed what."},
    {"name": "health", "description": "For load balancers and probes."},
]

STATUSES: Mapping[int, str] = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; poll the URL in the headers.",
    204: "There is nothing of this name, or nothing left to show.",
    400: "The request is not valid.",
    401: "There is no valid bearer token.",
    403: "The caller does not have the role for this.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "The state of things does not allow this.",
    413: "The body is too large.",
    415: "The body is packed; send it as it is.",
    429: "Too many requests; try again after Retry-After seconds.",
    500: "An unexpected error; the message names the id under which it stands in the log.",
    503: "The job database or the settings are not right at the moment.",
}

ERROR_MESSAGES: Mapping[str, str] = {
    "JobAgentNotFound": "The job agent 'agent1' does not exist in the specified logical server. Create it first.",
    "ResourceNotFound": "The requested resource of type 'Microsoft.Sql/servers/jobAgents/jobs' with name 'nightly' "
    "was not found.",
    "ElasticJobsOperationFailed": "The target group 'all' is used by step 'create' of job 'nightly'; give these "
    "another target group or delete them first.",
    "InvalidResourceRequestBody": "The request is not valid. properties.members: Field required.",
    "InvalidParameterValue": "The $skiptoken is not one of a nextLink; begin the list anew.",
    "MissingApiVersionParameter": "The api-version query parameter (?api-version=) is required for all requests.",
    "InvalidDuration": "The schedule's interval 'PT30S' is no duration that a schedule can have; use whole minutes, "
    "hours, days, weeks or months such as PT5M, PT1H, P1D, P1W or P1M.",
    "JobAgentDatabaseAlreadyLinked": "The job database already belongs to the job agent 'agent1'; use that one, or "
    "delete it before creating another.",
    "ElasticJobAgentOperationUnavailable": "The job agent 'agent1' still has 2 active job execution(s); cancel them or "
    "wait for their end, then delete it.",
    "OperationIdNotFound": "The operation with Id '5a86bf65-43ac-f258-2524-9e92992f97ca' does not exist, or ended more "
    "than a day ago.",
    "JobCredentialPermissionError": "The caller 'alice@example.com' needs the role CredentialAdmin for this.",
    "AuthorizationFailed": "The caller 'alice@example.com' needs the role Contributor for this.",
    "ServiceUnavailable": "The job database does not answer. Try again in a moment.",
}


@dataclass(frozen=True)
class Parameter:
    """What is said of a parameter wherever it occurs."""

    description: str
    example: Any


_ID = "5a86bf65-43ac-f258-2524-9e92992f97ca"
PARAMETERS: Mapping[str, Parameter] = {
    "subscription_id": Parameter("The deployment's subscription.", "00000000-1111-2222-3333-444444444444"),
    "resource_group": Parameter("The deployment's resource group.", "group1"),
    "server_name": Parameter("The logical server of the job database.", "jobserver"),
    "agent_name": Parameter("The agent.", "agent1"),
    "location_name": Parameter("An Azure region.", "westeurope"),
    "credential_name": Parameter("The credential.", "runner"),
    "target_group_name": Parameter("The target group.", "all"),
    "job_name": Parameter("The job.", "nightly"),
    "job_version": Parameter("A version of the job: 0, 1, 2, ...", "1"),
    "step_name": Parameter("The step.", "create"),
    "job_execution_id": Parameter("The id of the execution, a GUID.", _ID),
    "target_id": Parameter("The id of the target execution, a GUID.", "bfa70fd1-1a43-4a4f-9f05-3f9c8d6d4f11"),
    "private_endpoint_name": Parameter("The private endpoint.", "to-server1"),
    "operation_id": Parameter("The id of the operation, a GUID.", _ID),
    "api-version": Parameter("YYYY-MM-DD or YYYY-MM-DD-preview; changes nothing.", "2025-01-01"),
}
