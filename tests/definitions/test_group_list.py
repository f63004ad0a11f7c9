from __future__ import annotations

import pytest

from elastic_jobs.domain.model import Output
from elastic_jobs.domain.targets import Member, MembershipType, TargetType
from elastic_jobs.errors import NotFoundError
from elastic_jobs.jobdb.group_list import (
    CredentialUse,
    GroupLine,
    count_credential_uses,
    get_members_page,
    group_names,
    list_group_lines,
)
from tests.definitions.conftest import DATABASE, SERVER, Hand

EXCLUDED = Member(
    target_type=TargetType.SQL_DATABASE,
    server_name="server1",
    database_name="database2",
    membership_type=MembershipType.EXCLUDE,
)


def test_groups_with_counts_of_members_and_steps(hand: Hand) -> None:
    hand.group("group2", SERVER, EXCLUDED, DATABASE)
    hand.job()
    hand.step()
    hand.step("step2")
    with hand.database.read() as connection:
        assert list_group_lines(connection, limit=10) == [
            GroupLine(name="group1", included=1, excluded=0, steps=2),
            GroupLine(name="group2", included=2, excluded=1, steps=0),
        ]
        assert [line.name for line in list_group_lines(connection, limit=10, after="GROUP1")] == ["group2"]
        assert [line.name for line in list_group_lines(connection, limit=10, name_part="P2")] == ["group2"]
        assert list_group_lines(connection, limit=10, name_part="_") == []
        assert group_names(connection, limit=1) == ["group1"]


def test_members_come_in_pages_in_their_order(hand: Hand) -> None:
    group = hand.group("group2", SERVER, EXCLUDED, DATABASE)
    with hand.database.read() as connection:
        page = get_members_page(connection, "GROUP2", skip=1, limit=2)
        assert (page.id, page.name, page.total, page.members) == (group.id, "group2", 3, group.members[1:])
        with pytest.raises(NotFoundError, match="no target group 'gone'"):
            get_members_page(connection, "gone", skip=0, limit=1)


def test_steps_of_old_versions_do_not_use_a_group(hand: Hand) -> None:
    hand.group("group2")
    hand.job()
    hand.step()
    hand.step(target_group_name="group2")
    with hand.database.read() as connection:
        assert [line.steps for line in list_group_lines(connection, limit=10)] == [0, 1]


def test_how_often_credentials_are_used(hand: Hand) -> None:
    hand.credential("unused")
    hand.group("group2", SERVER)
    hand.job()
    hand.step("a", output=Output(server_name="s", database_name="d", table_name="t", credential_name="runner"))
    hand.step("b")
    hand.step("c", output=Output(server_name="s", database_name="d", table_name="t", credential_name="refresher"))
    with hand.database.read() as connection:
        assert count_credential_uses(connection, ["Runner", "refresher", "unused"]) == {
            "runner": CredentialUse(steps=3),
            "refresher": CredentialUse(steps=1, members=1),
            "unused": CredentialUse(),
        }
