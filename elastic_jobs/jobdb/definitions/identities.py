"""The agent's user-assigned identity: how it is named, and to which servers its tokens may be sent."""

from __future__ import annotations

import re

from elastic_jobs.domain.model import Identity
from elastic_jobs.errors import InvalidDefinitionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}")


def identity_name(resource_id: str) -> str:
    """The name at the end of a resource id; it is also the user's name in target databases."""
    return resource_id.rstrip("/").rpartition("/")[2]


def check_identity(identity: Identity) -> None:
    """Refuse an identity whose name Azure would not take for an agent.

    Raises:
        InvalidDefinitionError: ``InvalidResourceId``, with the rule.
    """
    name = identity_name(identity.resource_id)
    if not _NAME.fullmatch(name):
        raise InvalidDefinitionError(
            f"The name of the user-assigned identity '{name}' must begin with a letter or a number, have 3 to 128 "
            "characters, and contain only letters, numbers, '-' and '_' beside.",
            "InvalidResourceId",
        )
