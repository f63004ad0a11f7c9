"""One Azurite for all tests of the host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite
from tests.host.harness import HostFolder


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite"), persistent=False) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path, azurite: Azurite) -> HostFolder:
    return HostFolder(tmp_path, azurite.connection_string)
