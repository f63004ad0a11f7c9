"""The error numbers of SQL Server and Azure SQL, by what kind of trouble they are.

Numbers: Microsoft's troubleshooting page for Azure SQL errors, the default list of SqlConfigurableRetryFactory of
Microsoft.Data.SqlClient, and SqlServerTransientExceptionDetector of EF Core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from elastic_jobs.domain.outcome import ErrorClass


@dataclass(frozen=True)
class Known:
    """Errors of one class: SQL Server's numbers, and the SQLSTATEs that decide where the number says nothing."""

    numbers: tuple[int, ...] = ()
    sqlstates: tuple[str, ...] = ()


TABLE: Mapping[ErrorClass, Known] = MappingProxyType(
    {
        ErrorClass.TRANSIENT: Known(
            numbers=(
                # Azure SQL: failover, reconfiguration, serverless database that wakes up, upgrade.
                *(615, 926, 4221, 18401, 40020, 40143, 40166, 40197, 40540, 40613, 42108, 42109),
                # The former primary of a failover group is read-only until the name leads to the new one.
                3906,
                # Locks, deadlocks, row versions and memory: another try finds another moment.
                *(997, 1204, 1205, 1222, 3960, 3961, 8645, 8651, 41301, 41302, 41305, 41325, 41839),
            ),
            sqlstates=("08001", "40001", "HYT00"),
        ),
        ErrorClass.THROTTLED: Known(numbers=(10928, 10929, 10936, 40501, 49918, 49919, 49920)),
        ErrorClass.LOGIN: Known(
            numbers=(911, 916, 4060, 4064, 18456, 18470, 18486, 18487, 18488, 37396, 40532, 40615, 40914),
            sqlstates=("28000",),
        ),
        ErrorClass.PERMISSION: Known(numbers=(229, 230, 262, 297, 300, 2760, 3701, 15151, 15247)),
        ErrorClass.OUTCOME_UNKNOWN: Known(sqlstates=("08003", "08007", "08S01", "HYT01")),
        # Whatever is in no other row. These look like the server's trouble, but the same script would end the same
        # way: the size quota, and sessions ended for what they held (transaction, locks, tempdb, log, memory).
        ErrorClass.SCRIPT: Known(numbers=(40544, 40549, 40550, 40551, 40552, 40553)),
    }
)
"""The one table of errors: decides wording, metrics and whether connecting is tried again.

233, 10053, 10054 and 10060, which clients elsewhere also retry, are sockets' numbers: ODBC reports them as class 08.
"""

ERROR_CLASSES = MappingProxyType(
    {number: error_class for error_class, known in TABLE.items() for number in known.numbers}
)
SQLSTATE_CLASSES = MappingProxyType(
    {sqlstate: error_class for error_class, known in TABLE.items() for sqlstate in known.sqlstates}
)
