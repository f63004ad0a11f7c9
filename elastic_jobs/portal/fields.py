"""What forms of definitions share: what was typed stays, what is wrong is said beside its field. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from elastic_jobs.errors import InvalidDefinitionError, ServerNotAllowedError
from elastic_jobs.jobdb.definitions.checks import INT_MAX

WHOLE_FORM = ""
"""The place of a sentence that belongs to no single field."""


@dataclass(kw_only=True)
class Fields:
    """A form as it is shown: the texts in its fields, and sentences about them by the field's name."""

    values: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def error(self, name: str) -> str:
        """What is wrong with a field, for templates; empty when nothing is."""
        return self.errors.get(name, "")

    @property
    def is_right(self) -> bool:
        return not self.errors

    def refuse(self, name: str, sentence: str) -> None:
        """Say what is wrong with a field; its first error stays."""
        self.errors.setdefault(name, sentence)

    def check(self, name: str, check: Callable[[], object]) -> None:
        """Let one of the house's own checks look at a field, so that all faces say the same."""
        try:
            check()
        except (InvalidDefinitionError, ServerNotAllowedError) as error:
            self.refuse(name, str(error))

    def check_unchanged(self, now: str, sentence: str) -> None:
        """Refuse to overwrite what the form was not made from; the next time it is sent, it is.

        now: the fingerprint of what is saved at present; the field ``seen`` holds that of what was shown.
        """
        if self["seen"] != now:
            self.refuse(WHOLE_FORM, sentence)
            self.values["seen"] = now

    def blame(self, sentence: str, places: Mapping[str, str]) -> None:
        """Say what the API refused beside the field that it speaks of.

        places: field by a part of the sentence, the first that is in it counts; otherwise it is said above the form.
        """
        name = next((name for part, name in places.items() if part in sentence), WHOLE_FORM)
        self.refuse(name, sentence)

    def whole(self, name: str, what: str, default: int, least: int) -> int:
        """A whole number; the default for an empty field, and also when it is wrong, which is noted."""
        text = self[name].strip()
        if not text:
            return default
        if not (text.isascii() and text.lstrip("-").isdigit() and least <= int(text[:20]) <= INT_MAX):
            self.refuse(name, f"The {what} must be a whole number of at least {least}.")
            return default
        return int(text)

    def decimal(self, name: str, what: str, default: float) -> float:
        """As ``whole``, for numbers with a decimal point."""
        text = self[name].strip()
        if not text:
            return default
        try:
            return float(text.replace(",", "."))
        except ValueError:
            self.refuse(name, f"The {what} must be a number such as 2 or 1.5.")
            return default

    def instant(self, name: str, what: str, default: datetime, stored: datetime | None = None) -> datetime:
        """An instant in UTC as ``datetime-local`` sends it; the default for an empty field.

        stored: what the field showed; it is kept to the microsecond when nobody touched the field.
        """
        text = self[name].strip()
        if not text:
            return default
        if stored is not None and text == shown_instant(stored):
            return stored
        try:
            found = datetime.fromisoformat(text.upper().removesuffix("Z").strip())
        except ValueError:
            self.refuse(name, f"The {what} must be a date and a time such as 2030-01-31 06:00 (UTC).")
            return default
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def lines_of(text: str) -> list[str]:
    """One name per line, each once; empty lines do not count."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def shown_instant(instant: datetime) -> str:
    """An instant as a ``datetime-local`` field holds it, in UTC, to the second."""
    return instant.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()


def fingerprint(*seen: object) -> str:
    """Tells whether a definition is still the one that a form was made from. Frozen dataclasses and plain values."""
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()[:32]
