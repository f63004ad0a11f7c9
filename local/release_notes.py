"""What CHANGELOG.md says about a version. Pure."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

_HEADING = re.compile(r"(?P<name>\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?) - (?P<date>\d{4}-\d{2}-\d{2})|(?P<open>Unreleased)")
UNRELEASED = "Unreleased"


class ReleaseError(Exception):
    """A release that cannot be made. The message says why, and what to do."""


@dataclass(frozen=True)
class Section:
    """One section of the changelog. name: a version or ``Unreleased``; date: as it is written, or empty."""

    name: str
    date: str
    text: str


def project_version(pyproject: str) -> str:
    """The version in ``pyproject.toml``."""
    return str(tomllib.loads(pyproject)["project"]["version"])


def sections(changelog: str) -> list[Section]:
    """The sections in their order.

    Raises:
        ReleaseError: a heading is neither ``## 1.2.3 - 2026-11-23`` nor ``## Unreleased``, or is there twice.
    """
    found: list[Section] = []
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        match = _HEADING.fullmatch(heading.strip())
        if match is None:
            raise ReleaseError(
                f"CHANGELOG.md has the heading '## {heading}'. Write '## 1.2.3 - 2026-11-23' (version and day), or"
                f" '## {UNRELEASED}'."
            )
        name = match["name"] or match["open"]
        if any(section.name == name for section in found):
            raise ReleaseError(f"CHANGELOG.md has two sections '{name}'. Make one of them.")
        found.append(Section(name, match["date"] or "", text.strip()))
    return found


def release_notes(changelog: str, version: str) -> str:
    """What changed in this version.

    Raises:
        ReleaseError: there is no section for it, or nothing in it.
    """
    for section in sections(changelog):
        if section.name == version:
            if not section.text:
                raise ReleaseError(f"The section '{version}' of CHANGELOG.md is empty. Write what changed for users.")
            return section.text
    raise ReleaseError(
        f"CHANGELOG.md has no section for version {version}, which is the one in pyproject.toml."
        f" Turn '## {UNRELEASED}' into '## {version} - ' and the day."
    )


def check_tag(tag: str, version: str) -> None:
    """A release is tagged with its version.

    Raises:
        ReleaseError: the tag is another one.
    """
    if tag != f"v{version}":
        raise ReleaseError(
            f"The tag '{tag}' does not belong to version {version} in pyproject.toml, whose tag is 'v{version}'."
            " Change the version, commit, and tag that commit."
        )
