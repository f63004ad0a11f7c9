"""Which databases a server says it has."""

from __future__ import annotations

import pytest

from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.enumeration import list_databases
from elastic_jobs.targets.errors import TargetError
from tests.targets.lab import OTHER_SERVER, SERVER, Lab


def test_user_databases_with_their_pools(lab: Lab) -> None:
    assert lab.control.healthy()
    listing = list_databases(lab.connector(), OTHER_SERVER, lab.login)
    assert listing.pool_of == {"listed1": None, "listed2": None, "pooled1": "pool1"}


def test_what_is_not_online_is_left_out(lab: Lab) -> None:
    assert lab.database in list_databases(lab.connector(), SERVER, lab.login).pool_of
    lab.control.set_database_state(SERVER, lab.database, "OFFLINE")
    assert lab.database not in list_databases(lab.connector(), SERVER, lab.login).pool_of


def test_a_refused_login(lab: Lab) -> None:
    with pytest.raises(TargetError, match="user 'sqladmin' to database 'master'"):
        list_databases(lab.connector(), SERVER, PasswordLogin("sqladmin", "wrong"))


def test_a_query_that_fails(lab: Lab) -> None:
    lab.control.add_fault("error", "before", number=300, text="sys.databases", count=1)
    with pytest.raises(TargetError, match=rf"The databases of server '{SERVER}' cannot be listed: .*\(Msg 300\)"):
        list_databases(lab.connector(), SERVER, lab.login)


def test_without_pools_where_the_server_knows_none(lab: Lab) -> None:
    lab.control.add_fault("error", "before", number=208, text="database_service_objectives")
    listing = list_databases(lab.connector(), OTHER_SERVER, lab.login)
    assert listing.pool_of == {"listed1": None, "listed2": None, "pooled1": None}


def test_a_server_that_is_not_allowed(lab: Lab) -> None:
    with pytest.raises(ServerNotAllowedError):
        list_databases(lab.connector(), "evil.example.com", lab.login)
