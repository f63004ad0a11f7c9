"""The servers and databases that the pictures speak of, as if they had been asked."""

from __future__ import annotations

from collections.abc import Sequence

from elastic_jobs.agent.trial import Tried
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.targets import Listing, Member, ServerNames, TargetDatabase, resolve, servers_to_list
from elastic_jobs.targets.network import Check, CheckResult, Status
from elastic_jobs.targets.preflight import TargetReport

SUFFIX = ".database.windows.net"
EU, US, OTHER = (f"contoso-{name}{SUFFIX}" for name in ("eu", "us", "office"))
TENANTS = tuple(f"tenant-{number:03}" for number in range(1, 97))
POOL = "standard"
_HERE = ServerNames(SUFFIX)


def tenants() -> list[TargetDatabase]:
    """The tenants' databases: two thirds in Europe, most of them in a pool."""
    return [
        TargetDatabase(
            server_name=EU if number % 3 else US,
            database_name=name,
            elastic_pool_name=POOL if number % 3 and number % 4 else None,
        )
        for number, name in enumerate(TENANTS)
    ]


def rehearse(members: Sequence[Member]) -> Rehearsed:
    """What a target group resolves to."""
    found = {
        server: Listing(
            pool_of={each.database_name: each.elastic_pool_name for each in tenants() if each.server_name == server}
        )
        for server in servers_to_list(members, _HERE)
    }
    return Rehearsed(targets=resolve(members, found, _HERE))


def try_out(members: Sequence[Member], credential: str | None, seconds: float) -> Tried:
    """All checks of all databases: one of them does not open."""
    del credential, seconds
    return Tried(targets=[_report(target) for target in rehearse(members).targets])


def _report(target: TargetDatabase) -> TargetReport:
    checks = [CheckResult(check, Status.OK, 4 + 3 * place, "") for place, check in enumerate(Check)]
    if target.database_name == "ledger":
        said = (
            "Cannot open database 'ledger': the login has no user there (4060). Create one with the script of the "
            "page 'Users', as an administrator of the database."
        )
        checks = [*checks[:5], CheckResult(Check.DATABASE, Status.FAILED, 21, said)]
        checks.append(CheckResult(Check.PERMISSION, Status.SKIPPED, 0, "Not asked: the database did not open."))
    return TargetReport(target.server_name, target.database_name, tuple(checks))
