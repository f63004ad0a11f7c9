"""Target groups over an estate of 480 databases: what comes out equals what somebody works out by hand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastic_jobs.domain.outcome import ErrorClass, StopReason
from elastic_jobs.domain.targets import Listing, Member, ServerNames, TargetDatabase
from elastic_jobs.errors import JobDatabaseUnavailableError, NotFoundError
from elastic_jobs.targets import group as group_module
from elastic_jobs.targets.authentication import Login, PasswordLogin
from elastic_jobs.targets.enumeration import list_databases
from elastic_jobs.targets.group import EnumerationError, GroupResolver, Resolution
from elastic_jobs.targets.servers import TargetServers
from elastic_jobs.targets.shard_maps import list_shards
from elastic_jobs.targets.stop import Stopped, StopSignal
from tests.targets.by_hand import EXCLUDE, INCLUDE, database, expected, pool, server, shard_map
from tests.targets.estate import (
    LOGIN,
    MANAGERS,
    OFFLINE,
    SERVERS,
    SUFFIX,
    Estate,
    running_estate,
)
from tests.targets.lab import until


@pytest.fixture(scope="module")
def running() -> Iterator[Estate]:
    with running_estate() as found:
        yield found


@pytest.fixture
def estate(running: Estate) -> Iterator[Estate]:
    yield running
    running.control.clear_faults()


def login_for(_: str | None) -> Login:
    return LOGIN


# How people write a server: every second way of it.
spelled_servers = st.builds(
    lambda name, way: way.format(name),
    st.sampled_from(SERVERS[:9]),
    st.sampled_from(["{0}", "{0}" + SUFFIX, "tcp:{0},1433", "TCP:{0}.DATABASE.windows.net", " {0} "]),
)
memberships = st.sampled_from([INCLUDE, INCLUDE, EXCLUDE])
spelled_databases = st.sampled_from(["Db01", "db05", "DB15", "Db09", "db22", "Db40", "missing"])
members = st.one_of(
    st.builds(server, spelled_servers, memberships),
    st.builds(pool, spelled_servers, st.sampled_from(["PoolA", "poolb", "PoolC"]), memberships),
    st.builds(database, spelled_servers, spelled_databases, memberships),
    st.builds(shard_map, st.just(MANAGERS[0]), st.sampled_from(["Tenants", "TENANTS", "Empty"]), memberships),
    st.builds(shard_map, st.just(MANAGERS[1]), st.just("Regions"), memberships),
)
groups = st.lists(members, max_size=7)


def keys(resolution: Resolution) -> list[tuple[str, str]]:
    return sorted([t.key for t in resolution.targets] + [refused.target.key for refused in resolution.refused])


def check(resolution: Resolution, group: list[Member]) -> None:
    assert keys(resolution) == sorted(expected(group))
    assert all(target.server_name.endswith(SUFFIX) for target in resolution.targets)
    foreign = {refused.target.server_name for refused in resolution.refused}
    assert foreign <= {"foreign.example.com", "estate05" + SUFFIX + ",4444"}


class Remembering:
    """The answers of the emulator, each asked for once: 500 groups take seconds, not minutes."""

    def __init__(self) -> None:
        self._listings: dict[str, Listing] = {}
        self._shards: dict[tuple[str, str | None, str | None], list[TargetDatabase]] = {}
        self._lock = threading.Lock()

    def list_databases(self, connector: object, name: str, *rest: object, **options: object) -> Listing:
        with self._lock:
            if name not in self._listings:
                self._listings[name] = list_databases(connector, name, *rest, **options)  # type: ignore[arg-type]  # passed on
            return self._listings[name]

    def list_shards(self, connector: object, member: Member, *rest: object, **options: object) -> list[TargetDatabase]:
        key = (member.server_name, member.database_name, member.shard_map_name)
        with self._lock:
            if key not in self._shards:
                self._shards[key] = list_shards(connector, member, *rest, **options)  # type: ignore[arg-type]  # passed on
            return self._shards[key]


@pytest.fixture(scope="module")
def remembering() -> Remembering:
    return Remembering()


def test_500_random_groups_resolve_to_what_is_worked_out_by_hand(
    running: Estate, remembering: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "list_databases", remembering.list_databases)
    monkeypatch.setattr(group_module, "list_shards", remembering.list_shards)
    resolver = GroupResolver(running.connector)
    sizes: Counter[bool] = Counter()

    @settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(groups)
    def one(group: list[Member]) -> None:
        resolution = resolver.resolve(group, login_for)
        check(resolution, group)
        sizes[bool(resolution.targets)] += 1

    one()
    assert sizes[True] > 100, "most groups were empty, so little was shown"


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(groups)
def test_the_same_with_every_server_asked_anew(running: Estate, group: list[Member]) -> None:
    check(GroupResolver(running.connector).resolve(group, login_for), group)


def test_the_whole_estate_in_one_group(estate: Estate) -> None:
    everything = [server(name) for name in SERVERS]
    resolution = GroupResolver(estate.connector).resolve(everything, login_for)
    assert len(resolution.targets) == 12 * 40 - len(OFFLINE)
    assert {target.elastic_pool_name for target in resolution.targets} == {"PoolA", "PoolB", None}


def test_a_database_named_by_itself_leaves_with_its_excluded_pool(estate: Estate) -> None:
    group = [database("estate06", "db01"), database("estate06", "db30"), pool("estate06", "poola", EXCLUDE)]
    resolution = GroupResolver(estate.connector).resolve(group, login_for)
    assert [target.database_name for target in resolution.targets] == ["Db30"]


def test_a_shard_leaves_with_its_excluded_pool_and_is_spelled_as_its_server_spells_it(estate: Estate) -> None:
    group = [shard_map(MANAGERS[1], "regions"), pool("estate04", "PoolA", EXCLUDE)]
    resolution = GroupResolver(estate.connector).resolve(group, login_for)
    assert ("estate04" + SUFFIX, "Db15", "PoolB") in {
        (t.server_name, t.database_name, t.elastic_pool_name) for t in resolution.targets
    }
    assert not any(target.database_name.lower() == "db02" for target in resolution.targets)


def test_an_excluded_shard_map_takes_its_shards_away(estate: Estate) -> None:
    group = [server("estate04"), shard_map(MANAGERS[1], "Regions", EXCLUDE)]
    resolution = GroupResolver(estate.connector).resolve(group, login_for)
    assert len(resolution.targets) == 38
    assert resolution.refused == []


def test_shards_on_servers_that_are_not_allowed_are_told_apart(estate: Estate) -> None:
    resolution = GroupResolver(estate.connector).resolve([shard_map(MANAGERS[1], "Regions")], login_for)
    reasons = {refused.target.server_name: refused.reason for refused in resolution.refused}
    assert "not on the list of allowed target servers" in reasons["foreign.example.com"]
    assert "port other than 1433" in reasons["estate05" + SUFFIX + ",4444"]
    assert len(resolution.targets) == 4


def test_each_server_is_asked_once_and_again_the_next_time(estate: Estate) -> None:
    group = [server("estate10"), pool("ESTATE10", "PoolA"), pool("tcp:estate10,1433", "PoolB", EXCLUDE)]
    resolver = GroupResolver(estate.connector)
    for _ in range(2):
        sequence = estate.control.last_sequence()
        resolver.resolve(group, login_for)
        logins = estate.control.journal(after=sequence, kind="login", database="master")
        assert [record["server"] for record in logins] == ["estate10" + SUFFIX]


def test_several_servers_are_asked_at_once_but_not_all(estate: Estate) -> None:
    estate.control.add_fault("slow", "before", seconds=0.4, text="sys.databases")
    most = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], len(estate.control.running(text="sys.databases")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        GroupResolver(estate.connector, servers_at_once=3).resolve([server(name) for name in SERVERS[:6]], login_for)
    finally:
        done.set()
        watcher.join()
    assert 2 <= most[0] <= 3


def test_every_server_that_cannot_be_enumerated_is_named_with_its_reason(estate: Estate) -> None:
    estate.control.refuse_logins(18456, server="estate02*")
    estate.control.refuse_logins(40615, server="estate05*")
    group = [server(name) for name in SERVERS[:6]] + [server("foreign.example.com"), shard_map(MANAGERS[0], "Nope")]
    with pytest.raises(EnumerationError) as raised:
        GroupResolver(estate.connector).resolve(group, login_for)
    sentence = str(raised.value)
    assert sentence.startswith("4 of 8 servers and shard maps cannot be enumerated: (1) ")
    for part in (
        "Login failed for user 'sqladmin' to database 'master' on server 'estate02" + SUFFIX,
        "The firewall of server 'estate05" + SUFFIX,
        "'foreign.example.com' is not on the list of allowed target servers",
        "There is no shard map 'Nope' in database 'Db40' on server 'estate01'",
    ):
        assert part in sentence
    assert LOGIN.password not in sentence
    classes = {failure.what: failure.error_class for failure in raised.value.failures}
    assert classes["server 'foreign.example.com'"] is ErrorClass.NOT_ALLOWED
    assert classes["server 'estate02" + SUFFIX + "'"] is ErrorClass.LOGIN


def test_more_failures_than_anybody_reads_are_counted(estate: Estate) -> None:
    estate.control.refuse_logins(18456)
    with pytest.raises(EnumerationError, match=r"12 of 12 servers .* And 2 more; the app's log has them all\.$"):
        GroupResolver(estate.connector).resolve([server(name) for name in SERVERS], login_for)


def test_an_error_that_passes_is_asked_again(estate: Estate) -> None:
    estate.control.add_fault("error", "before", number=40197, text="sys.databases", count=1, server="estate08*")
    estate.control.add_fault("drop", "before", text="sys.databases", count=1, server="estate09*")
    resolver = GroupResolver(estate.connector, retry_seconds=(0.01, 0.01))
    assert len(resolver.resolve([server("estate08"), server("estate09")], login_for).targets) == 80


def test_an_error_that_stays_is_not_asked_again(estate: Estate) -> None:
    rule = estate.control.add_fault("error", "before", number=300, text="sys.databases", server="estate08*")
    with pytest.raises(EnumerationError, match=r"cannot be listed: .*Check that user 'sqladmin' has a user in"):
        GroupResolver(estate.connector, retry_seconds=(0.01, 0.01)).resolve([server("estate08")], login_for)
    assert [fault["hits"] for fault in estate.control.faults() if fault["id"] == rule] == [1]


def test_pools_that_the_login_may_not_see_are_no_empty_pools(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    # A login without dbmanager is shown no row of sys.database_service_objectives; the emulator shows them to all.
    hidden = Listing({"Db01": None, "Db02": None}, pools_known=False)
    monkeypatch.setattr(group_module, "list_databases", lambda *_, **__: hidden)
    resolver = GroupResolver(estate.connector)
    with pytest.raises(EnumerationError, match="ALTER ROLE dbmanager ADD MEMBER"):
        resolver.resolve([pool("estate01", "PoolA")], login_for)
    assert len(resolver.resolve([server("estate01")], login_for).targets) == 2


def test_a_database_that_is_no_shard_map_manager(estate: Estate) -> None:
    with pytest.raises(EnumerationError, match="is no shard map manager of the Elastic Database tools"):
        GroupResolver(estate.connector).resolve([shard_map(("estate01", "Db01"), "Tenants")], login_for)


def test_a_missing_login_says_for_what(estate: Estate) -> None:
    def missing(name: str | None) -> Login:
        raise NotFoundError("credential", name or "")

    group = [replace(server("estate01"), refresh_credential_name="gone")]
    with pytest.raises(EnumerationError, match=r"no login to enumerate server 'estate01.*no credential 'gone'"):
        GroupResolver(estate.connector).resolve(group, missing)


def test_a_job_database_that_is_away_is_nobodys_fault_there(estate: Estate) -> None:
    def away(_: str | None) -> Login:
        raise JobDatabaseUnavailableError("It does not answer.")

    with pytest.raises(JobDatabaseUnavailableError):
        GroupResolver(estate.connector).resolve([server("estate01")], away)


def test_a_silent_server_does_not_keep_a_stopped_step(estate: Estate) -> None:
    estate.control.add_fault("stall", "login", server="estate11*")
    signal = StopSignal()
    raised: list[BaseException] = []

    def resolve() -> None:
        try:
            GroupResolver(estate.connector).resolve([server("estate11"), server("estate12")], login_for, stop=signal)
        except Stopped as stopped:
            raised.append(stopped)

    sequence = estate.control.last_sequence()
    thread = threading.Thread(target=resolve)
    thread.start()
    until(lambda: estate.control.journal(after=sequence, kind="login", server="estate12" + SUFFIX))
    signal.set(StopReason.CANCELED)
    thread.join(2)
    assert not thread.is_alive()
    assert raised


def test_the_credential_of_any_member_of_a_server_will_do(estate: Estate) -> None:
    asked: list[str | None] = []

    def remember(name: str | None) -> Login:
        asked.append(name)
        return LOGIN

    group = [pool("estate01", "PoolA"), replace(server("Estate01"), refresh_credential_name="refresh")]
    GroupResolver(estate.connector).resolve(group, remember)
    assert asked == ["refresh"]


def test_an_unknown_password_is_not_told(estate: Estate) -> None:
    with pytest.raises(EnumerationError) as raised:
        GroupResolver(estate.connector).resolve(
            [server("estate01")], lambda _: PasswordLogin("sqladmin", "canary-4711")
        )
    assert "canary-4711" not in str(raised.value)


def test_names_of_an_estate_under_another_suffix(estate: Estate) -> None:
    other = TargetServers(ServerNames(".sql.example.com"), ["estate01"], {})
    resolver = GroupResolver(type(estate.connector)(replace(estate.options, servers=other)))
    resolution = resolver.resolve([database("estate01", "a"), database("ESTATE01.sql.example.com", "A")], login_for)
    assert [target.key for target in resolution.targets] == [("estate01.sql.example.com", "a")]
