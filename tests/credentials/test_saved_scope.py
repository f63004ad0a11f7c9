"""Definitions that would send a credential, or the agent's identity, outside its list of servers are not saved."""

from __future__ import annotations

import pytest

from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.model import Identity, Output, StepDefinition
from elastic_jobs.domain.schedule import Schedule
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.errors import InvalidDefinitionError
from elastic_jobs.jobdb.definitions import jobs, steps, target_groups
from tests.credentials.conftest import Book

SEALER = Sealer(bytes(32))


def _member(server: str, **fields: object) -> Member:
    values = {"target_type": TargetType.SQL_DATABASE, "database_name": "db", **fields}
    return Member(server_name=server, **values)  # type: ignore[arg-type]  # the caller names real fields


def _group(book: Book, *members: Member) -> None:
    with book.database.write() as connection:
        target_groups.save_group(connection, book.edit, "group1", members)


def _step(book: Book, credential: str | None, output: Output | None = None) -> None:
    step = StepDefinition(
        name="step1", command="SELECT 1", target_group_name="group1", credential_name=credential, output=output
    )
    with book.database.write() as connection:
        jobs.save_job(connection, book.edit, "job1", schedule=Schedule(), description="")
        steps.save_step(connection, book.edit, "job1", step)


def test_a_step_goes_only_where_its_credential_may(book: Book) -> None:
    book.save(SEALER, allowed_servers=("server1",))
    _group(book, _member("server1"), _member("server2", membership_type=MembershipType.EXCLUDE))
    _step(book, "runner")
    with pytest.raises(InvalidDefinitionError, match=r"step 'step1' of job 'job1' would send .* to server 'server2"):
        _group(book, _member("server1"), _member("server2"))
    book.save(SEALER, "other")
    _step(book, "other")
    _group(book, _member("server1"), _member("server2"))
    with pytest.raises(InvalidDefinitionError, match="The step 'step1' would send the credential 'runner' to server"):
        _step(book, "runner")


def test_an_output_goes_only_where_its_credential_may(book: Book) -> None:
    book.save(SEALER, allowed_servers=("server1",))
    book.save(SEALER, "other")
    _group(book, _member("server2"))
    output = Output(server_name="server2", database_name="db", table_name="t", credential_name="runner")
    with pytest.raises(
        InvalidDefinitionError, match="The output of the step 'step1' would send the credential 'runner'"
    ):
        _step(book, "other", output)


def test_a_refresh_credential_goes_only_where_it_may(book: Book) -> None:
    book.save(SEALER, allowed_servers=("server1",))
    server = {"target_type": TargetType.SQL_SERVER, "database_name": None, "refresh_credential_name": "runner"}
    _group(book, _member("server1", **server))
    with pytest.raises(InvalidDefinitionError, match="member SqlServer 'server2' would send the credential 'runner'"):
        _group(book, _member("server2", **server))


def test_an_identity_goes_only_where_it_may(book: Book) -> None:
    book.agent(Identity(resource_id="/x/agent1", allowed_servers=ServerScope(("server1.database.windows.net",))))
    _group(book, _member("server1"))
    with pytest.raises(InvalidDefinitionError, match="would send the identity of the job agent to server 'server2"):
        _group(book, _member("server2"))
