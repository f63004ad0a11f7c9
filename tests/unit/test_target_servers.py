"""Which servers may be reached, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.targets.servers import Endpoint, TargetServers

NAMES = ServerNames(".database.windows.net")


def servers(*allowed: str, **addresses: str) -> TargetServers:
    return TargetServers(NAMES, allowed, addresses)


def test_an_empty_list_allows_nothing() -> None:
    with pytest.raises(ServerNotAllowedError, match=r"'server1\.database\.windows\.net'.*ALLOWED_TARGET_SERVERS"):
        servers().require("server1")


@pytest.mark.parametrize(
    "given_name",
    ["server1", "SERVER1.database.windows.net", "tcp:server1,1433", " server1.database.windows.net. ", "server1, 1433"],
)
@pytest.mark.parametrize("allowed", ["server1", "Server1.Database.Windows.Net", "*.database.windows.net"])
def test_however_it_is_written(given_name: str, allowed: str) -> None:
    assert servers(allowed).require(given_name) == "server1.database.windows.net"


@pytest.mark.parametrize(
    "name",
    [
        "server2",
        "server1.database.windows.net.evil.example",
        "evil.example",
        "a.server1.database.windows.net",
        "database.windows.net",
    ],
)
def test_others_are_refused(name: str) -> None:
    with pytest.raises(ServerNotAllowedError, match="not on the list"):
        servers("server1").require(name)


def test_the_star_stands_for_exactly_one_label() -> None:
    allowed = servers("*.database.windows.net")
    assert allowed.require("any") == "any.database.windows.net"
    for name in ("a.b.database.windows.net", "database.windows.net", "anydatabase.windows.net"):
        with pytest.raises(ServerNotAllowedError):
            allowed.require(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "server1;PWD=x",
        "server1}",
        "{server1",
        "server 1",
        "10.0.0.1",
        "127.1",
        "::1",
        "[::1]",
        "server1\\instance",
        "server_1",
        "-a.database.windows.net",
        "a-.database.windows.net",
        "a..b",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "sérver1",
        "server1\n",
        "np:server1",
        "lpc:server1",
        "admin:server1",
    ],
)
def test_no_host_name(name: str) -> None:
    everything = TargetServers(ServerNames(".x.y"), [name, "*.x.y", "*.database.windows.net", "*.0.0.1", "*.1"])
    if name == "server1\n":
        # White space around a name is no part of it.
        assert everything.require(name) == "server1.x.y"
        return
    with pytest.raises(ServerNotAllowedError, match="is no server name"):
        everything.require(name)


def test_another_port_is_refused() -> None:
    with pytest.raises(ServerNotAllowedError, match="TARGET_SERVER_ADDRESSES"):
        servers("server1").require("server1,14330")


def test_the_address_is_the_name_unless_it_is_overridden() -> None:
    known = servers("server1", "server2", Server2="127.0.0.1,14330")
    assert known.endpoint("server1") == Endpoint("tcp:server1.database.windows.net,1433")
    assert known.endpoint("SERVER2") == Endpoint("tcp:127.0.0.1,14330", "server2.database.windows.net")
    with pytest.raises(ServerNotAllowedError):
        known.endpoint("server3")


@given(st.text(max_size=40))
def test_what_is_allowed_is_always_a_plain_host_name(name: str) -> None:
    try:
        allowed = servers("*.database.windows.net").require(name)
    except ServerNotAllowedError:
        return
    assert allowed.endswith(".database.windows.net")
    assert set(allowed) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
