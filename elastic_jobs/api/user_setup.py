"""What is asked of ``targets/user_setup.py`` over HTTP: as whom the agent comes, what it may do, where results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection

from elastic_jobs.domain.model import Agent, Output
from elastic_jobs.domain.rehearsal import Rehearsed
from elastic_jobs.domain.targets import Member, ServerNames, TargetDatabase, resolve
from elastic_jobs.errors import InvalidDefinitionError
from elastic_jobs.jobdb.definitions.checks import NAME_LENGTH, check_text
from elastic_jobs.jobdb.definitions.credentials import get_credential, stored_name
from elastic_jobs.jobdb.definitions.identities import identity_name
from elastic_jobs.targets.user_setup import Access, AgentUsers, CredentialUsers, IdentityUser, SetupScript, group_setup


class AccessName(StrEnum):
    """What scripts may do in the targets, as it is written in a query."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    CHANGE_SCHEMA = "changeSchema"
    OWN = "own"


_ACCESS = {name: Access[name.name] for name in AccessName}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The query of a request. credential: as the caller wrote it. output: where results go, None for nowhere."""

    access: tuple[Access, ...]
    credential: str | None
    contained: bool
    output: Output | None


def wanted_of(
    access: Annotated[
        list[AccessName] | None, Query(description="What scripts may do; several times for several; default: read.")
    ] = None,
    credential: Annotated[
        str | None, Query(description="Credential of the job; none where the agent has an identity.")
    ] = None,
    contained: Annotated[
        bool, Query(description="With a credential: a user with a password in each database, and no login.")
    ] = False,
    output_server: Annotated[str | None, Query(alias="outputServer", description="Server of the output table.")] = None,
    output_database: Annotated[
        str | None, Query(alias="outputDatabase", description="Database of the output table.")
    ] = None,
    output_schema: Annotated[str, Query(alias="outputSchema", description="Schema of the output table.")] = "dbo",
) -> Wanted:
    """Read the query.

    Raises:
        InvalidDefinitionError: only one of output server and database is named, or a name cannot be one.
    """
    output = None
    if output_server is not None or output_database is not None:
        if not output_server or not output_database:
            raise InvalidDefinitionError(
                "The output needs both outputServer and outputDatabase; name both, or none.", "InvalidParameterValue"
            )
        for what, name in (("server", output_server), ("database", output_database), ("schema", output_schema)):
            try:
                check_text(f"{what} of the output", name, NAME_LENGTH)
            except InvalidDefinitionError as error:
                raise InvalidDefinitionError(str(error), "InvalidParameterValue") from None
        output = Output(
            server_name=output_server, database_name=output_database, schema_name=output_schema, table_name=""
        )
    return Wanted(
        access=tuple(_ACCESS[name] for name in dict.fromkeys(access or [AccessName.READ])),
        credential=credential or None,
        contained=contained,
        output=output,
    )


def users_of(
    connection: Connection, agent: Agent, members: Sequence[Member], credential: str | None, *, contained: bool
) -> AgentUsers:
    """The users that the agent comes as.

    Raises:
        InvalidDefinitionError: a credential is named although the agent has an identity, is missing, or not there.
    """
    name = stored_name(connection, agent, credential, needed_for="T-SQL for the users in the targets")
    if agent.identity is not None:
        return IdentityUser(identity_name(agent.identity.resource_id))
    refresh = {member.refresh_credential_name for member in members} - {None}
    return CredentialUsers(
        job_user=get_credential(connection, name or "").username,
        refresh_users={each: get_credential(connection, each).username for each in refresh if each is not None},
        contained=contained,
    )


def scripts_for(
    members: Sequence[Member], found: Rehearsed, names: ServerNames, users: AgentUsers, wanted: Wanted
) -> list[SetupScript]:
    """The scripts for what the group comes to now; while servers cannot be asked, for what it names by itself.

    Raises:
        InvalidDefinitionError: a member that has to be enumerated names no refresh credential.
    """
    targets: Sequence[TargetDatabase] = resolve(members, {}, names) if found.failures else found.targets
    try:
        return group_setup(members, targets, names, users, wanted.access, wanted.output)
    except ValueError as error:
        raise InvalidDefinitionError(str(error)) from None
