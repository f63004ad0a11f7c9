from __future__ import annotations

from dataclasses import replace

import pytest

from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.errors import InvalidDefinitionError, NotFoundError
from elastic_jobs.jobdb.definitions import target_groups
from tests.definitions.conftest import DATABASE, SERVER, Hand

POOL = Member(
    target_type=TargetType.SQL_ELASTIC_POOL,
    server_name="server1",
    elastic_pool_name="pool1",
    refresh_credential_name="refresher",
)
SHARDS = Member(
    target_type=TargetType.SQL_SHARD_MAP,
    server_name="server1",
    database_name="manager",
    shard_map_name="map",
    refresh_credential_name="refresher",
)


def test_members_are_kept_in_order_with_stable_ids(hand: Hand) -> None:
    excluded = replace(DATABASE, membership_type=MembershipType.EXCLUDE, server_name="evil")
    first = hand.group("all", SERVER, POOL, SHARDS, DATABASE, excluded)
    second = hand.group("ALL", DATABASE, replace(POOL, server_name="tcp:SERVER1.database.windows.net,1433"))
    with hand.database.read() as connection:
        stored = target_groups.get_group(connection, "all")
    assert stored == second
    assert (stored.id, stored.name) == (first.id, "all")
    assert [member_id for member_id, _ in second.members] == [first.members[3][0], first.members[1][0]]
    assert second.members[1][1].server_name == "tcp:SERVER1.database.windows.net,1433"


def test_groups_are_listed_by_name_with_their_members(hand: Hand) -> None:
    hand.group("b", SERVER)
    hand.group("A", POOL, DATABASE)
    with hand.database.read() as connection:
        listed = target_groups.list_groups(connection)
        page = target_groups.list_groups(connection, after="a", limit=1)
    assert [(group.name, len(group.members)) for group in listed] == [("A", 2), ("b", 1), ("group1", 1)]
    assert [group.name for group in page] == ["b"]


def test_an_empty_group_can_be_made_and_filled_later(hand: Hand) -> None:
    with hand.database.write() as connection:
        group, created = target_groups.save_group(connection, hand.edit, "later", ())
        filled, created_again = target_groups.save_group(connection, hand.edit, "LATER", [SERVER])
    with hand.database.read() as connection:
        assert target_groups.get_group(connection, "later").members == filled.members
        with pytest.raises(NotFoundError):
            target_groups.get_group(connection, "nobody")
    assert (group.members, created) == ((), True)
    assert ([member for _, member in filled.members], created_again) == ([SERVER], False)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (replace(SERVER, refresh_credential_name=None), "needs a credential"),
        (replace(POOL, refresh_credential_name=None), "needs a credential"),
        (replace(SHARDS, refresh_credential_name=None), "needs a credential"),
        (replace(SERVER, refresh_credential_name="ghost"), "Cannot reference the credential 'ghost'"),
        (replace(SERVER, server_name="evil"), "not on the list"),
        (replace(SERVER, server_name=""), "server name of a member is empty"),
        (replace(SERVER, database_name="x"), "leave it out"),
        (replace(POOL, elastic_pool_name=None), "has no elastic pool name"),
        (replace(DATABASE, database_name=None), "has no database name"),
        (replace(DATABASE, elastic_pool_name="x"), "leave it out"),
        (replace(SHARDS, shard_map_name=None), "has no shard map name"),
        (replace(DATABASE, database_name="d" * 129), "129 characters"),
        (replace(SERVER, target_type=TargetType.TARGET_GROUP), "TargetGroup cannot be added"),
    ],
)
def test_wrong_members_are_refused(hand: Hand, member: Member, said: str) -> None:
    with pytest.raises(InvalidDefinitionError, match=said):
        hand.group("wrong", member)
    with hand.database.read() as connection:
        assert target_groups.find_group(connection, "wrong") is None


def test_the_same_member_twice_is_refused_whatever_its_spelling(hand: Hand) -> None:
    twice = replace(DATABASE, server_name="TCP:Server1.database.windows.net,1433", database_name="DATABASE1")
    with pytest.raises(InvalidDefinitionError, match=r"SqlDatabase .* twice"):
        hand.group("wrong", DATABASE, twice)
    assert len(hand.group("right", SERVER, replace(SERVER, membership_type=MembershipType.EXCLUDE)).members) == 2


def test_a_credential_is_an_error_when_the_agent_has_an_identity(hand: Hand) -> None:
    hand.agent(identity="/subscriptions/s/identity")
    hand.group("servers", replace(SERVER, refresh_credential_name=None))
    with pytest.raises(InvalidDefinitionError, match="user-assigned identity; leave the credential out"):
        hand.group("servers", SERVER)


def test_a_group_in_use_is_neither_deleted_nor_emptied(hand: Hand) -> None:
    hand.job()
    hand.step("one")
    with hand.database.write() as connection:
        with pytest.raises(InvalidDefinitionError, match="used by step 'one' of job 'job1'"):
            target_groups.delete_group(connection, hand.edit, "GROUP1")
        with pytest.raises(InvalidDefinitionError, match="step 'one' of job 'job1' runs on it"):
            target_groups.save_group(
                connection, hand.edit, "group1", [replace(DATABASE, membership_type=MembershipType.EXCLUDE)]
            )
    hand.group("other", DATABASE)
    hand.step("one", target_group_name="other")
    with hand.database.write() as connection:
        # Older versions of the step still name it, and keep its name.
        assert target_groups.delete_group(connection, hand.edit, "GROUP1") is True
        assert target_groups.delete_group(connection, hand.edit, "group1") is False
    assert hand.step_names(version=1) == ["one"]


def test_changes_are_in_the_audit_trail(hand: Hand) -> None:
    hand.group("group1", POOL)
    last = hand.audit()[-1]
    assert (last["caller"], last["action"], last["resource"]) == ("alice", "update target group", "targetGroups/group1")
    assert last["before"]["members"][0][1]["database_name"] == "database1"
    assert last["after"]["members"][0][1]["target_type"] == "SqlElasticPool"
