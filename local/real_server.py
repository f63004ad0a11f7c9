"""A real SQL Server in the place of the emulator: ``TARGET_SQL=host,port;user;password``."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.target_sql import connect


@dataclass(frozen=True)
class RealServer:
    """Where it is and who its administrator is."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> RealServer:
        """Read ``host,port;user;password``.

        Raises:
            ValueError: it is written in another way.
        """
        try:
            address, user, password = text.split(";", 2)
            host, _, port = address.partition(",")
            return cls(host, int(port or "1433"), user, password)
        except ValueError:
            raise ValueError("TARGET_SQL must be written as host,port;user;password.") from None

    def create_databases(self, names: tuple[str, ...]) -> None:
        """Create the target databases that are not there."""
        connection = connect(vars(self), "master")
        try:
            for name in names:
                connection.execute(f"IF DB_ID('{name}') IS NULL CREATE DATABASE [{name}]")
        finally:
            connection.close()
