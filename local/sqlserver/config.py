"""The emulator's configuration file (JSON), read into dataclasses.

Example::

    {"certificates": "/tmp/emulator/tls", "ready_file": "/tmp/emulator/ready.json", "control_port": 0,
     "journal_file": "/tmp/emulator/journal.jsonl", "encryption": "optional",
     "servers": [{"name": "server1.database.windows.net", "port": 0, "admin_user": "sqladmin", "admin_password": "...",
                  "databases": ["database1", {"name": "database2"}, {"prefix": "db", "count": 1000}],
                  "elastic_pools": [{"name": "pool1", "databases": ["database1", {"prefix": "p", "count": 20}]}],
                  "logins": [{"name": "job", "password": "..."}],
                  "tokens": [{"token": "...", "principal": "agent"}], "entra_admin": "agent"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The configuration is wrong; the sentence says where."""


@dataclass(frozen=True)
class DatabaseConfig:
    name: str
    elastic_pool: str | None = None
    service_objective: str = "S0"


@dataclass(frozen=True)
class ServerConfig:
    """One logical server; port 0 takes a free one."""

    name: str
    port: int = 0
    admin_user: str = "sqladmin"
    admin_password: str = field(default="", repr=False)
    entra_admin: str | None = None
    databases: tuple[DatabaseConfig, ...] = ()
    elastic_pools: tuple[str, ...] = ()
    logins: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tokens: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class EmulatorConfig:
    """certificates: the folder for ca.pem, server.pem, server.key. require_encryption: force TLS, as Azure does."""

    servers: tuple[ServerConfig, ...]
    certificates: Path
    ready_file: Path | None = None
    journal_file: Path | None = None
    host: str = "127.0.0.1"
    control_port: int = 0
    require_encryption: bool = False


def read_config(path: Path) -> EmulatorConfig:
    """ConfigError when the file cannot be read or something in it is wrong."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}.") from error
    return parse_config(data)


def parse_config(data: Any) -> EmulatorConfig:
    """ConfigError naming the field that is missing, unknown or wrong."""
    top = _Object(data, "the configuration")
    encryption = top.text("encryption", "optional")
    if encryption not in ("optional", "required"):
        raise ConfigError(f"'encryption' is 'optional' or 'required', not '{encryption}'.")
    servers = tuple(_server(item, index) for index, item in enumerate(top.list("servers")))
    if not servers:
        raise ConfigError("The configuration names no server in 'servers'.")
    names = [server.name.lower() for server in servers]
    if len(set(names)) < len(names):
        raise ConfigError("Two servers have the same name.")
    config = EmulatorConfig(
        servers=servers,
        certificates=Path(top.text("certificates")),
        ready_file=_path(top, "ready_file"),
        journal_file=_path(top, "journal_file"),
        host=top.text("host", "127.0.0.1"),
        control_port=top.number("control_port", 0),
        require_encryption=encryption == "required",
    )
    top.no_more()
    return config


def _path(item: _Object, name: str) -> Path | None:
    text = item.text(name, "")
    return Path(text) if text else None


def _server(data: Any, index: int) -> ServerConfig:
    item = _Object(data, f"servers[{index}]")
    databases = list(_databases(item.list("databases"), f"{item.where}.databases", None))
    pools = []
    for number, pool_data in enumerate(item.list("elastic_pools")):
        pool = _Object(pool_data, f"{item.where}.elastic_pools[{number}]")
        pools.append(pool.text("name"))
        databases += _databases(pool.list("databases"), f"{pool.where}.databases", pools[-1])
        pool.no_more()
    server = ServerConfig(
        name=item.text("name"),
        port=item.number("port", 0),
        admin_user=item.text("admin_user", "sqladmin"),
        admin_password=item.text("admin_password"),
        entra_admin=item.text("entra_admin", "") or None,
        databases=_merged(databases, item.where),
        elastic_pools=tuple(pools),
        logins=tuple(_pairs(item, "logins", "name", "password")),
        tokens=tuple(_pairs(item, "tokens", "token", "principal")),
    )
    item.no_more()
    return server


def _pairs(item: _Object, name: str, first: str, second: str) -> Iterator[tuple[str, str]]:
    for index, data in enumerate(item.list(name)):
        entry = _Object(data, f"{item.where}.{name}[{index}]")
        yield entry.text(first), entry.text(second)
        entry.no_more()


def _databases(items: Sequence[Any], where: str, pool: str | None) -> Iterator[DatabaseConfig]:
    """A name, an object with a name, or ``{"prefix": "db", "count": 3}`` for db1, db2, db3."""
    for index, data in enumerate(items):
        if isinstance(data, str):
            yield DatabaseConfig(data, pool)
            continue
        item = _Object(data, f"{where}[{index}]")
        chosen = item.text("elastic_pool", "") or pool
        objective = item.text("service_objective", "S0")
        if "prefix" in data:
            prefix, start = item.text("prefix"), item.number("start", 1)
            for number in range(start, start + item.number("count")):
                yield DatabaseConfig(f"{prefix}{number}", chosen, objective)
        else:
            yield DatabaseConfig(item.text("name"), chosen, objective)
        item.no_more()


def _merged(databases: Sequence[DatabaseConfig], where: str) -> tuple[DatabaseConfig, ...]:
    """A database may be listed by itself and again in its pool; in two pools it may not."""
    found: dict[str, DatabaseConfig] = {}
    for database in databases:
        known = found.get(database.name.lower())
        if known is not None and known.elastic_pool and database.elastic_pool not in (None, known.elastic_pool):
            raise ConfigError(f"{where}: database '{database.name}' is in two elastic pools.")
        if known is None or database.elastic_pool:
            found[database.name.lower()] = database
    return tuple(found.values())


class _Object:
    """A JSON object being read: knows where it is, and which fields nobody asked for."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where} must be an object.")
        self.where = where
        self._data, self._left = data, set(data)

    def _get(self, name: str, default: Any, kind: type, word: str) -> Any:
        self._left.discard(name)
        value = self._data.get(name, default)
        if value is None:
            raise ConfigError(f"{self.where} lacks '{name}'.")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"{self.where}: '{name}' must be {word}.")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        return str(self._get(name, default, str, "a string"))

    def number(self, name: str, default: int | None = None) -> int:
        return int(self._get(name, default, int, "a whole number"))

    def list(self, name: str) -> Sequence[Any]:
        items: Sequence[Any] = self._get(name, (), (list, tuple), "a list")  # type: ignore[arg-type]  # isinstance takes both
        return items

    def no_more(self) -> None:
        if self._left:
            raise ConfigError(f"{self.where} has an unknown field '{sorted(self._left)[0]}'.")
