"""The fan-out in its tiny form, with and without its peers. A peer whose server is missing is skipped with a reason."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import fanout
from bench.charts import OURS
from bench.peers.servers import MissingServerError, Postgres, Redis
from tests.bench.support import run_tiny

pytestmark = pytest.mark.timeout(300)  # each starts a whole stack, on a machine that others may use


def _server_missing(kind: Callable[[Path], Redis | Postgres], folder: Path) -> str | None:
    try:
        kind(folder).stop()
    except MissingServerError as error:
        return str(error)
    return None


def test_a_peer_that_cannot_be_had_is_left_out_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *rest: None if name == "redis-server" else real(name, *rest))
    names = [OURS, fanout.LIMIT, fanout.LOOP]
    found = run_tiny("fanout", fanout.main, tmp_path, "--contenders", *names, fanout.CELERY)
    assert {row["contender"] for row in found["data"]["cases"]} == set(names)
    assert all(row["rate"]["median"] > 0 for row in found["data"]["cases"])
    (sentence,) = found["left_out"]
    assert "redis-server is not installed; bench/servers.sh" in sentence


@pytest.mark.parametrize(
    ("name", "package", "server"),
    [(fanout.CELERY, "celery", Redis), (fanout.PROCRASTINATE, "procrastinate", Postgres)],
)
def test_a_peer_does_the_same_work(
    name: str, package: str, server: Callable[[Path], Redis | Postgres], tmp_path: Path
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: make bench-setup")
    missing = _server_missing(server, tmp_path / "server")
    if missing is not None:
        pytest.skip(missing)
    found = run_tiny("fanout", fanout.main, tmp_path, "--contenders", name, fanout.LIMIT)
    # That each database was really worked on once is checked by the part itself, in the databases' journal.
    assert {row["contender"] for row in found["data"]["cases"]} == {name, fanout.LIMIT}
    assert not found["left_out"]
