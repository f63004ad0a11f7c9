"""The same databases and sessions as the tests of the T-SQL face."""

from __future__ import annotations

from tests.tsql.conftest import bare, real_server, server_database, sessions

__all__ = ["bare", "real_server", "server_database", "sessions"]
