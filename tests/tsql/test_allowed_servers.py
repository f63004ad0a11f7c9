"""To which servers credentials and the identity may be sent: the procedures ask the same lists as the app."""

from __future__ import annotations

from elastic_jobs.domain.model import Agent, Identity
from elastic_jobs.domain.server_scope import ServerScope
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import credentials, deployment
from elastic_jobs.jobdb.definitions.agent import save_agent
from tests.definitions.conftest import Hand
from tests.tsql.face import Face


def test_servers_outside_the_list_that_the_app_wrote_down_are_refused(face: Face, server_database: JobDatabase) -> None:
    face.run("EXEC jobs.sp_add_target_group 'g'")
    add = (
        "EXEC jobs.sp_add_target_group_member 'g', @target_type = 'SqlDatabase', @database_name = 'd', @server_name = "
    )
    assert deployment.publish(
        server_database, server_suffix=".sql.example", allowed_servers=["one.sql.example", "*.db.example"]
    )
    assert not deployment.publish(
        server_database, server_suffix=".sql.example", allowed_servers=["*.db.example", "one.sql.example"]
    )
    for allowed in ("'One'", "'x.db.example'", "'tcp:y.DB.example,1433'"):
        face.run(add + allowed)
    for refused in ("'two'", "'db.example'", "'a.b.db.example'", "'ne.sql.example'"):
        assert "is not on the list of allowed target servers" in face.refused(add + refused)
    face.run(add + "'two', @membership_type = 'Exclude'")
    for wrong in ("'a b'", "'-x'", "'10.0.0.1'", "'x..y'"):
        assert (
            "is no server name; write the name of the logical server, for example server1.sql.example."
            in face.refused(add + wrong)
        )
    assert "is named with a port other than 1433" in face.refused(add + "'one,1444'")


def _narrow(hand: Hand, name: str, *servers: str) -> None:
    new = credentials.NewCredential(name=name, username="u", password="Pa55word", allowed_servers=servers)
    with hand.database.write() as connection:
        credentials.save_credential(connection, hand.edit, new, hand.sealer)


def _not_there(who: str, sends: str, server: str) -> str:
    return (
        f"The {who} would send the {sends} to server '{server}.database.windows.net', which is not among its allowed"
        " servers; add the server there, or use another one."
    )


def test_a_credential_with_a_list_of_its_own_goes_nowhere_else(face: Face, server_hand: Hand) -> None:
    _narrow(server_hand, "Narrow", "server1", "*.db.example")
    _narrow(server_hand, "elsewhere", "erver1")
    face.run("EXEC jobs.sp_add_target_group 'g'")
    member = (
        "EXEC jobs.sp_add_target_group_member 'g', @target_type = 'SqlServer', @refresh_credential_name = 'NARROW',"
    )
    assert face.refused(member + " @server_name = 'server2'") == _not_there(
        "member SqlServer 'server2'", "credential 'Narrow'", "server2"
    )
    for server in ("tcp:SERVER1,1433", "a.db.example"):
        face.run(member + f" @server_name = '{server}'")
    for server in ("db.example", "a.b.db.example", "erver1"):
        assert "which is not among its allowed servers" in face.refused(member + f" @server_name = '{server}'")
    face.run(member + " @server_name = 'server2', @membership_type = 'Exclude'")
    face.run("EXEC jobs.sp_add_job 'j'")
    step = "EXEC jobs.sp_add_jobstep 'j', @step_name = 's', @command = 'SELECT 1', @target_group_name = 'g',"
    assert face.refused(step + " @credential_name = 'elsewhere'") == _not_there(
        "step 's'", "credential 'elsewhere'", "server1"
    )
    output = (
        " @output_type = 'SqlDatabase', @output_database_name = 'd', @output_table_name = 't', @output_server_name = "
    )
    wrong = output + "'server3', @output_credential_name = 'narrow'"
    right = output + "'server1', @output_credential_name = 'narrow'"
    said = _not_there("output of the step 's'", "credential 'Narrow'", "server3")
    assert face.refused(step + " @credential_name = 'narrow'," + wrong) == said
    face.run(step + " @credential_name = 'narrow'," + right)
    assert face.refused("EXEC jobs.sp_update_jobstep 'j'," + wrong) == said
    free = "EXEC jobs.sp_add_target_group_member 'g', @target_type = 'SqlDatabase', @database_name = 'd',"
    assert face.refused(free + " @server_name = 'server4'") == _not_there(
        "step 's' of job 'j'", "credential 'Narrow'", "server4"
    )
    assert face.value("SELECT job_version FROM jobs.jobs") == 1
    assert face.value("SELECT COUNT(*) FROM jobs.target_group_members") == 3


def test_an_identity_with_a_list_of_its_own_goes_nowhere_else(face: Face, server_hand: Hand) -> None:
    resource = "/subscriptions/x/resourcegroups/y/providers/Microsoft.ManagedIdentity/userAssignedIdentities/z"
    identity = Identity(resource_id=resource, allowed_servers=ServerScope(("server1.database.windows.net",)))
    with server_hand.database.write() as connection:
        save_agent(connection, server_hand.edit, Agent(name="agent1", location="westeurope", identity=identity))
    face.run("EXEC jobs.sp_add_target_group 'g'")
    member = "EXEC jobs.sp_add_target_group_member 'g', @target_type = 'SqlServer', @server_name = "
    assert face.refused(member + "'server2'") == _not_there(
        "member SqlServer 'server2'", "identity of the job agent", "server2"
    )
    face.run(member + "'server1'")
    face.run("EXEC jobs.sp_add_job 'j'")
    step = "EXEC jobs.sp_add_jobstep 'j', @step_name = 's', @command = 'SELECT 1', @target_group_name = 'g'"
    output = (
        ", @output_type = 'SqlDatabase', @output_database_name = 'd', @output_table_name = 't', @output_server_name = "
    )
    assert face.refused(step + output + "'server2'") == _not_there(
        "output of the step 's'", "identity of the job agent", "server2"
    )
    face.run(step + output + "'server1'")
