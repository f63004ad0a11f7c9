"""What the pictures show: the definitions of a company that keeps a database for each of its customers."""

from __future__ import annotations

from typing import Any

import httpx

from local.portal_pictures.estate import EU, OTHER, US

AGENT = "contoso-jobs"
INDEX_SCRIPT = """SET NOCOUNT ON;
DECLARE @rebuild nvarchar(max) = N'';
SELECT @rebuild += N'ALTER INDEX ' + QUOTENAME(i.name) + N' ON ' + QUOTENAME(s.name) + N'.' + QUOTENAME(o.name)
    + N' REBUILD WITH (ONLINE = ON);'
FROM sys.dm_db_index_physical_stats(DB_ID(), NULL, NULL, NULL, 'SAMPLED') AS p
JOIN sys.indexes AS i ON i.object_id = p.object_id AND i.index_id = p.index_id
JOIN sys.objects AS o ON o.object_id = i.object_id
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE p.avg_fragmentation_in_percent > 30 AND i.name IS NOT NULL;
EXEC sys.sp_executesql @rebuild;"""
INDEX_SCRIPT_BEFORE = INDEX_SCRIPT.replace("> 30", "> 10").replace(" WITH (ONLINE = ON)", "")
ADD_COLUMN = """IF COL_LENGTH('dbo.Orders', 'DeliveredAt') IS NULL
    ALTER TABLE dbo.Orders ADD DeliveredAt datetime2(0) NULL;
PRINT N'Orders.DeliveredAt is there.';"""
BACKFILL = """UPDATE dbo.Orders
SET DeliveredAt = s.DeliveredAt
FROM dbo.Orders AS o JOIN dbo.Shipments AS s ON s.OrderId = o.OrderId
WHERE o.DeliveredAt IS NULL;"""
USAGE = """SELECT DB_NAME() AS database_name, SUM(reserved_page_count) * 8 AS kilobytes, SYSUTCDATETIME() AS measured_at
FROM sys.dm_db_partition_stats;"""
PURGE = "DELETE TOP (5000) FROM dbo.AuditLog WHERE WrittenAt < DATEADD(day, -90, SYSUTCDATETIME());"


def define(api: httpx.Client) -> None:
    """Make agent, credentials, target groups and jobs through the API."""
    body = {"location": "westeurope", "sku": {"name": "JA200"}, "properties": {"databaseId": _database(api)}}
    _put(api, "", body)
    for name, username in (("job-runner", "jobrunner"), ("refresh", "jobrefresh"), ("reporting", "reportwriter")):
        _put(api, f"/credentials/{name}", {"properties": {"username": username, "password": "Never-shown-1"}})
    _groups(api)
    _jobs(api)


def _groups(api: httpx.Client) -> None:
    refresh = _resource(api, "credentials/refresh")
    everywhere = [{"type": "SqlServer", "serverName": server, "refreshCredential": refresh} for server in (EU, US)]
    kept_out = {"type": "SqlDatabase", "membershipType": "Exclude", "serverName": EU, "databaseName": "templates"}
    pool = {"type": "SqlElasticPool", "serverName": EU, "elasticPoolName": "standard", "refreshCredential": refresh}
    single = [{"type": "SqlDatabase", "serverName": OTHER, "databaseName": name} for name in ("billing", "ledger")]
    for name, members in (
        ("all-tenants", [*everywhere, kept_out]),
        ("standard-pool", [pool]),
        ("back-office", single),
    ):
        _put(api, f"/targetGroups/{name}", {"properties": {"members": members}})


def _jobs(api: httpx.Client) -> None:
    _job(api, "Rebuild indexes", "Weekly, when nobody works", "2026-11-01T02:00:00Z", "P1W")
    _step(api, "Rebuild indexes", "rebuild", INDEX_SCRIPT_BEFORE, "all-tenants", {"retryAttempts": 3})
    _step(api, "Rebuild indexes", "rebuild", INDEX_SCRIPT, "all-tenants", {"retryAttempts": 3}, maxParallelism=10)
    _job(api, "Collect usage", "Size of every tenant, for the invoices", "2026-11-01T00:05:00Z", "PT1H")
    _step(api, "Collect usage", "measure", USAGE, "all-tenants", {"retryAttempts": 2}, output=True)
    _job(api, "Orders: delivery time", "Schema change of release 118", None, None)
    _step(api, "Orders: delivery time", "add column", ADD_COLUMN, "all-tenants", {"retryAttempts": 5})
    _step(api, "Orders: delivery time", "fill it", BACKFILL, "all-tenants", {"retryAttempts": 5})
    _job(api, "Purge audit rows", "Keeps 90 days", "2026-11-01T03:30:00Z", "P1D")
    _step(api, "Purge audit rows", "purge", PURGE, "back-office", {"retryAttempts": 10})
    _job(api, "Grant reporting", "Read rights for the reporting service", None, None)
    _step(api, "Grant reporting", "grant", "GRANT SELECT ON SCHEMA::dbo TO reporting;", "standard-pool", {})


def _job(api: httpx.Client, name: str, description: str, start: str | None, interval: str | None) -> None:
    schedule: dict[str, Any] = {"type": "Once", "enabled": False}
    if interval is not None:
        schedule = {"type": "Recurring", "interval": interval, "startTime": start, "enabled": True}
    _put(api, f"/jobs/{name}", {"properties": {"description": description, "schedule": schedule}})


def _step(
    api: httpx.Client,
    job: str,
    name: str,
    script: str,
    group: str,
    options: dict[str, int],
    *,
    output: bool = False,
    **more: int,
) -> None:
    properties: dict[str, Any] = {
        "targetGroup": _resource(api, f"targetGroups/{group}"),
        "credential": _resource(api, "credentials/job-runner"),
        "action": {"value": script},
        "executionOptions": {"timeoutSeconds": 3600, **options},
        **more,
    }
    if output:
        properties["output"] = {
            "serverName": OTHER,
            "databaseName": "reports",
            "tableName": "TenantSize",
            "credential": _resource(api, "credentials/reporting"),
        }
    _put(api, f"/jobs/{job}/steps/{name}", {"properties": properties})


def _database(api: httpx.Client) -> str:
    return f"{_server(api)}/databases/jobs"


def _resource(api: httpx.Client, path: str) -> str:
    return f"{_server(api)}/jobAgents/{AGENT}/{path}"


def _server(api: httpx.Client) -> str:
    return api.headers["x-arm-server"]


def _put(api: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = api.put(f"{_server(api)}/jobAgents/{AGENT}{path}", params={"api-version": "2025-01-01"}, json=body)
    if not answer.is_success:
        raise RuntimeError(f"PUT {path}: {answer.status_code} {answer.text}")
