"""Which servers may be reached, and at which address. Checked before anything is sent to a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.settings import Settings

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAXIMUM_NAME = 253
"""Longest host name in text form (RFC 1035, 255 octets on the wire)."""
_DEFAULT_PORT = "1433"


@dataclass(frozen=True)
class Endpoint:
    """Where to connect to. ``certificate_name``: the name that the certificate must carry when it is not the host's."""

    address: str
    certificate_name: str | None = None


class TargetServers:
    """The allow-list of target servers, and the deployment's address overrides."""

    def __init__(self, names: ServerNames, allowed: Iterable[str], addresses: Mapping[str, str] | None = None) -> None:
        """
        allowed: server names; ``*.`` in front stands for exactly one label. Empty: no server is allowed.
        addresses: ``host,port`` to connect to instead of a server's own name, by server name.
        """
        self.names = names
        self._exact = frozenset(names.canonical(name) for name in allowed if not name.startswith("*."))
        self._parents = frozenset(name[2:].lower() for name in allowed if name.startswith("*."))
        self._addresses = {names.canonical(name): address for name, address in (addresses or {}).items()}

    @classmethod
    def from_settings(cls, settings: Settings) -> TargetServers:
        return cls(
            ServerNames(settings.sql_server_suffix), settings.allowed_target_servers, settings.target_server_addresses
        )

    @property
    def patterns(self) -> tuple[str, ...]:
        """The allow-list in its normal form: canonical names, and ``*.`` with a canonical parent."""
        return (*sorted(self._exact), *(f"*.{parent}" for parent in sorted(self._parents)))

    def require(self, server_name: str) -> str:
        """The canonical name of a server that may be reached.

        Raises:
            ServerNotAllowedError: it is no proper host name, or not on the allow-list; a sentence for people.
        """
        name = self.names.canonical(server_name)
        self._require_host_name(server_name, name)
        if name not in self._exact and name.partition(".")[2] not in self._parents:
            raise ServerNotAllowedError(
                f"Server '{name}' is not on the list of allowed target servers, so no credential is sent to it."
                " Add it to the setting ALLOWED_TARGET_SERVERS."
            )
        return name

    def endpoint(self, server_name: str) -> Endpoint:
        """Where a server that may be reached is connected to. Raises as ``require`` does."""
        name = self.require(server_name)
        address = self._addresses.get(name)
        if address is None:
            return Endpoint(f"tcp:{name},{_DEFAULT_PORT}")
        host = address.strip().removeprefix("tcp:")
        return Endpoint(f"tcp:{host}", certificate_name=name)

    def _require_host_name(self, given: str, name: str) -> None:
        port = given.partition(",")[2].strip() or _DEFAULT_PORT
        if port != _DEFAULT_PORT:
            raise ServerNotAllowedError(
                f"Server '{name}' is named with a port other than {_DEFAULT_PORT}; name it without one, and put a"
                " different address into the setting TARGET_SERVER_ADDRESSES."
            )
        labels = name.split(".")
        if (
            len(name) > _MAXIMUM_NAME
            or not all(_LABEL.fullmatch(label) for label in labels)
            # Numbers make an IPv4 address (127.1, 127.0x1), which names no certificate and no logical server.
            or labels[-1][0].isdigit()
        ):
            raise ServerNotAllowedError(
                f"'{given[:_MAXIMUM_NAME]}' is no server name; write the name of the logical server, for example"
                f" server1{self.names.suffix}."
            )
