"""Target groups: which databases come out of includes and excludes, against an independent computation."""

from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.targets import (
    Listing,
    Member,
    MembershipType,
    ServerNames,
    TargetType,
    resolve,
    servers_to_list,
)

NAMES = ServerNames(".database.windows.net")
ESTATE = {
    f"server{s}.database.windows.net": Listing({f"db{d}": (f"pool{d % 3}" if d % 4 else None) for d in range(8)})
    for s in range(3)
}


def test_server_names_are_written_in_one_way() -> None:
    for name in ("S1", "s1.database.windows.net", "TCP:s1,1433", " tcp:S1.Database.Windows.Net,1433 ", "s1."):
        assert NAMES.canonical(name) == "s1.database.windows.net"
    assert NAMES.short("S1.database.windows.net") == "s1"
    assert NAMES.canonical("s1.other.example") == "s1.other.example"


servers = st.sampled_from(["server0", "SERVER1", "server2.database.windows.net", "tcp:server0,1433"])
databases = st.sampled_from(["db0", "DB1", "db2", "db7", "missing"])
pools = st.sampled_from(["pool0", "POOL1", "pool2", "missing"])
kinds = st.sampled_from([TargetType.SQL_SERVER, TargetType.SQL_ELASTIC_POOL, TargetType.SQL_DATABASE])


@st.composite
def members(draw: st.DrawFn) -> Member:
    kind = draw(kinds)
    return Member(
        target_type=kind,
        server_name=draw(servers),
        membership_type=draw(st.sampled_from(list(MembershipType))),
        database_name=draw(databases) if kind is TargetType.SQL_DATABASE else None,
        elastic_pool_name=draw(pools) if kind is TargetType.SQL_ELASTIC_POOL else None,
    )


def _matches(member: Member, server: str, database: str, pool: str | None) -> bool:
    """Independent of the code under test: one database at a time, spelled out."""
    host = member.server_name.lower().replace("tcp:", "").replace(",1433", "")
    if server not in (host, host + ".database.windows.net"):
        return False
    if member.target_type is TargetType.SQL_DATABASE:
        return (member.database_name or "").lower() == database.lower()
    if member.target_type is TargetType.SQL_ELASTIC_POOL:
        return pool is not None and (member.elastic_pool_name or "").lower() == pool.lower()
    return True


@given(st.lists(members(), max_size=8))
def test_a_group_is_its_includes_less_its_excludes_each_once(group: list[Member]) -> None:
    everything = {(s, d, p) for s, listing in ESTATE.items() for d, p in listing.pool_of.items()}
    everything |= {(s, "missing", None) for s in ESTATE}  # a named database need not exist: its run says so
    expected = {
        (server, database.lower())
        for server, database, pool in everything
        if any(
            m.membership_type is MembershipType.INCLUDE
            and _matches(m, server, database, pool)
            and (database != "missing" or m.target_type is TargetType.SQL_DATABASE)
            for m in group
        )
        and not any(
            m.membership_type is MembershipType.EXCLUDE
            and _matches(m, server, database, pool if _listed(group, server) else None)
            for m in group
        )
    }
    listings = {server: ESTATE[server] for server in servers_to_list(group, NAMES)}
    found = resolve(group, listings, NAMES)
    assert [target.key for target in found] == sorted(expected)


def _listed(group: list[Member], server: str) -> bool:
    return server in servers_to_list(group, NAMES)


def test_excluding_what_is_not_there_is_no_error() -> None:
    london = Member(target_type=TargetType.SQL_SERVER, server_name="server0")
    other = Member(
        target_type=TargetType.SQL_DATABASE,
        server_name="elsewhere",
        database_name="MappingDB",
        membership_type=MembershipType.EXCLUDE,
    )
    assert len(resolve([london, other], ESTATE, NAMES)) == 8


def test_a_database_named_by_itself_is_spelled_as_its_server_spells_it() -> None:
    server = Member(target_type=TargetType.SQL_SERVER, server_name="server0")
    single = Member(target_type=TargetType.SQL_DATABASE, server_name="server0", database_name="DB1")
    found = {t.database_name: t.elastic_pool_name for t in resolve([single, server], ESTATE, NAMES)}
    assert found["db1"] == "pool1"
    assert len(found) == 8
