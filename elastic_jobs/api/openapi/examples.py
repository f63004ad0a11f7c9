"""Examples of bodies: one small story, of a job that creates a table on all databases of a server but one."""

from __future__ import annotations

from typing import Any

_SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
_SERVER = f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/group1/providers/Microsoft.Sql/servers/jobserver"
_AGENT = f"{_SERVER}/jobAgents/agent1"
_TYPE = "Microsoft.Sql/servers/jobAgents"
_RUN = "5a86bf65-43ac-f258-2524-9e92992f97ca"
_FAILED_RUN = "8c1f0ad2-0f0e-4b8e-a2c8-0c9d7d1f3f11"
_TARGET = "bfa70fd1-1a43-4a4f-9f05-3f9c8d6d4f11"
_CREATED = "2026-11-23T08:00:00Z"
_STARTED = "2026-11-23T08:00:01.25Z"
_ENDED = "2026-11-23T08:00:03.5Z"
_ORIGIN = {
    "createdBy": "alice@example.com",
    "createdByType": "User",
    "createdAt": _CREATED,
    "lastModifiedBy": "alice@example.com",
    "lastModifiedByType": "User",
    "lastModifiedAt": _CREATED,
}


def _resource(kind: str, path: str, properties: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"id": f"{_AGENT}/{path}", "name": path.rpartition("/")[2], "type": f"{_TYPE}/{kind}"}
    return answer if properties is None else {**answer, "properties": properties}


def _defined(kind: str, path: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {**_resource(kind, path, properties), "systemData": _ORIGIN}


AGENT_BODY = {
    "location": "westeurope",
    "tags": {"team": "data"},
    "sku": {"name": "JA200"},
    "properties": {"databaseId": f"{_SERVER}/databases/jobs"},
}
AGENT_UPDATE = {"sku": {"name": "JA400"}}
AGENT = {
    "id": _AGENT,
    "name": "agent1",
    "type": _TYPE,
    "location": "westeurope",
    "tags": {"team": "data"},
    "sku": {"name": "JA200", "capacity": 200},
    "properties": {"databaseId": f"{_SERVER}/databases/jobs", "state": "Ready"},
    "systemData": _ORIGIN,
}
CREDENTIAL_BODY = {
    "properties": {"username": "job_runner", "password": "<the password>", "allowedServers": ["server1"]}
}
CREDENTIAL = _defined(
    "credentials",
    "credentials/runner",
    {"username": "job_runner", "allowedServers": ["server1.database.windows.net"]},
)
_MEMBERS = [
    {
        "membershipType": "Include",
        "type": "SqlServer",
        "serverName": "server1",
        "refreshCredential": f"{_AGENT}/credentials/runner",
    },
    {"membershipType": "Exclude", "type": "SqlDatabase", "serverName": "server1", "databaseName": "archive"},
]
TARGET_GROUP_BODY = {"properties": {"members": _MEMBERS}}
TARGET_GROUP = _defined("targetGroups", "targetGroups/all", {"members": _MEMBERS})
RESOLVED = {
    "complete": True,
    "targets": [{"serverName": "server1", "databaseName": "orders", "elasticPoolName": "pool1"}],
    "refused": [],
    "failures": [],
}
PREFLIGHT_BODY = {"credential": f"{_AGENT}/credentials/runner", "timeLimitSeconds": 60}
TRIED = {
    "ready": False,
    "targets": [
        {
            "serverName": "server1",
            "databaseName": "orders",
            "ready": False,
            "checks": [
                {"check": "allowed", "status": "ok", "milliseconds": 0, "message": "Server 'server1' is on the list."},
                {
                    "check": "tcp",
                    "status": "failed",
                    "milliseconds": 5001,
                    "message": "Nothing answers at server1.database.windows.net, port 1433 within 5 s. Let this app's "
                    "network out to port 1433, or give the server a private endpoint in it.",
                },
            ],
        }
    ],
    "failures": [],
}
USER_SETUP = {
    "complete": True,
    "scripts": [
        {
            "serverName": "server1",
            "databaseName": "orders",
            "sql": "IF DATABASE_PRINCIPAL_ID(N'agent-identity') IS NULL CREATE USER [agent-identity] FROM EXTERNAL "
            "PROVIDER;\nGRANT SELECT TO [agent-identity];\n",
        }
    ],
    "refused": [],
    "failures": [],
}
_SCHEDULE = {
    "startTime": "2026-12-01T22:00:00Z",
    "endTime": "9999-12-31T11:59:59Z",
    "type": "Recurring",
    "enabled": True,
    "interval": "P1D",
}
JOB_BODY = {"properties": {"description": "Creates the table", "schedule": _SCHEDULE}}
JOB = _defined(
    "jobs",
    "jobs/nightly",
    {
        "description": "Creates the table",
        "version": 1,
        "schedule": _SCHEDULE,
        "nextRunTime": "2026-12-01T22:00:00Z",
    },
)
PREVIEW = {"value": ["2026-12-01T22:00:00Z", "2026-12-02T22:00:00Z", "2026-12-03T22:00:00Z"]}
VERSION = _resource("jobs/versions", "jobs/nightly/versions/1")
_STEP = {
    "targetGroup": f"{_AGENT}/targetGroups/all",
    "credential": f"{_AGENT}/credentials/runner",
    "action": {
        "type": "TSql",
        "source": "Inline",
        "value": "IF OBJECT_ID('dbo.steps') IS NULL CREATE TABLE dbo.steps (id int PRIMARY KEY);",
    },
}
STEP_BODY = {"properties": _STEP}
_STEP_ANSWER = {
    "stepId": 1,
    **_STEP,
    "executionOptions": {
        "timeoutSeconds": 43200,
        "retryAttempts": 10,
        "initialRetryIntervalSeconds": 1,
        "maximumRetryIntervalSeconds": 120,
        "retryIntervalBackoffMultiplier": 2.0,
    },
}
STEP = _defined("jobs/steps", "jobs/nightly/steps/create", _STEP_ANSWER)
VERSION_STEP = _resource("jobs/versions/steps", "jobs/nightly/versions/1/steps/create", _STEP_ANSWER)
_EXECUTION = {
    "jobVersion": 1,
    "jobExecutionId": _RUN,
    "lifecycle": "Created",
    "provisioningState": "Created",
    "createTime": _CREATED,
    "currentAttempts": 0,
    "lastMessage": "Job execution created.",
}
EXECUTION = _resource("jobs/executions", f"jobs/nightly/executions/{_RUN}", _EXECUTION)
RERUN = _resource(
    "jobs/executions",
    f"jobs/nightly/executions/{_RUN}",
    {
        **_EXECUTION,
        "rerunOf": _FAILED_RUN,
        "lastMessage": f"Rerun of the unsuccessful targets of execution {_FAILED_RUN} created.",
    },
)
_ENDED_EXECUTION = {
    **_EXECUTION,
    "lifecycle": "Succeeded",
    "provisioningState": "Succeeded",
    "startTime": _STARTED,
    "endTime": _ENDED,
    "currentAttempts": 1,
    "stepName": "create",
    "stepId": 1,
}
STEP_EXECUTION = _resource(
    "jobs/executions/steps",
    f"jobs/nightly/executions/{_RUN}/steps/create",
    {**_ENDED_EXECUTION, "lastMessage": "Step 1 succeeded."},
)
_ON = "(server 'server1', database 'orders')"
TARGET_EXECUTION = _resource(
    "jobs/executions/steps/targets",
    f"jobs/nightly/executions/{_RUN}/steps/create/targets/{_TARGET}",
    {
        **_ENDED_EXECUTION,
        "currentAttemptStartTime": _STARTED,
        "lastMessage": f"Step 1 succeeded execution on target {_ON}.",
        "target": {"type": "SqlDatabase", "serverName": "server1", "databaseName": "orders"},
    },
)
MESSAGE = {"attempt": 1, "ordinal": 1, "batch": 1, "kind": "rowcount", "rowCount": 3}
PROGRESS = {"stepId": 1, "stepName": "create", "lifecycle": "InProgress", "targets": {"Succeeded": 8, "Created": 2}}
ERROR_GROUP = {
    "errorNumber": 208,
    "message": "Invalid object name '...'.",
    "targets": 17,
    "lifecycles": {"Failed": 17},
    "example": {
        "id": f"{_AGENT}/jobs/nightly/executions/{_RUN}/steps/create/targets/{_TARGET}",
        "stepName": "create",
        "serverName": "server1",
        "databaseName": "orders",
        "message": "Invalid object name 'dbo.orders'.",
    },
}
_FAR = f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/group2/providers/Microsoft.Sql/servers/server1"
PRIVATE_ENDPOINT_BODY = {"properties": {"targetServerAzureResourceId": _FAR}}
CONNECTION_BODY = {"status": "Approved", "description": "Approved by the owner of server1."}
PRIVATE_ENDPOINT = _defined(
    "privateEndpoints",
    "privateEndpoints/to-server1",
    {
        "targetServerAzureResourceId": _FAR,
        "privateEndpointId": f"EJ_{_TARGET}_to-server1",
        "connectionState": CONNECTION_BODY,
    },
)
OPERATION_STATUS = {"name": _TARGET, "status": "Succeeded", "startTime": _CREATED}
OPERATION_ACCEPTED = {"operation": "UpsertJobAccount", "startTime": _CREATED}
PROVIDER = {
    "id": f"/subscriptions/{_SUBSCRIPTION}/providers/Microsoft.Sql",
    "namespace": "Microsoft.Sql",
    "registrationState": "Registered",
    "registrationPolicy": "RegistrationRequired",
    "resourceTypes": [
        {
            "resourceType": "servers/jobAgents",
            "locations": ["westeurope"],
            "apiVersions": ["2025-01-01"],
            "defaultApiVersion": "2025-01-01",
            "capabilities": "None",
        }
    ],
}
PROVIDER_OPERATION = {
    "name": "Microsoft.Sql/servers/jobAgents/jobs/read",
    "display": {
        "provider": "Microsoft SQL Database",
        "resource": "Job",
        "operation": "Gets Job",
        "description": "Gets a job.",
    },
    "origin": "user",
    "isDataAction": False,
}
CAPABILITIES = {
    "name": "westeurope",
    "status": "Available",
    "supportedJobAgentVersions": [
        {
            "name": "1.0",
            "status": "Default",
            "supportedEditions": [
                {
                    "name": "JobAgent",
                    "status": "Default",
                    "supportedServiceLevelObjectives": [
                        {"name": "JA100", "sku": {"name": "JA100", "capacity": 100}, "status": "Default"}
                    ],
                }
            ],
        }
    ],
}
CLOUD = {
    "name": "ElasticJobs",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.com",
        "audiences": [f"api://{_TARGET}"],
    },
    "resourceManager": "https://jobs.example.com",
    "suffixes": {},
}
TENANT = {
    "id": f"/tenants/{_TARGET}",
    "tenantId": _TARGET,
    "displayName": "ElasticJobs",
    "tenantCategory": "Home",
}
SUBSCRIPTION = {
    "id": f"/subscriptions/{_SUBSCRIPTION}",
    "subscriptionId": _SUBSCRIPTION,
    "displayName": "ElasticJobs",
    "state": "Enabled",
    "tenantId": _TARGET,
    "authorizationSource": "RoleBased",
}
SERVER = {
    "id": _SERVER,
    "name": "jobserver",
    "type": "Microsoft.Sql/servers",
    "kind": "v12.0",
    "location": "westeurope",
    "properties": {
        "version": "12.0",
        "state": "Ready",
        "fullyQualifiedDomainName": "jobserver.database.windows.net",
    },
}
AUDIT = {
    "id": 17,
    "time": _CREATED,
    "caller": "alice@example.com",
    "action": "start job",
    "resource": f"jobs/nightly/executions/{_RUN}",
}
