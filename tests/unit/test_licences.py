"""docs/licences.md names every run-time dependency and its licence."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest

from local.licences import (
    ACCEPTED,
    EXPLICIT,
    PAGE,
    PURPOSES,
    ROOT,
    LicenceError,
    direct_names,
    installed,
    licence,
    main,
    package_names,
)

CLASSIFIER = "License :: OSI Approved :: "


def says(**fields: str | list[str]) -> Message:
    """Metadata of a package."""
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


def names() -> list[str]:
    return package_names((ROOT / "requirements.txt").read_text(encoding="utf-8"))


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_direct_dependency_says_what_it_is_for_and_no_other() -> None:
    direct = direct_names((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(PURPOSES) == direct
    assert direct <= set(names())


def test_the_table_of_exceptions_holds_exceptions_only() -> None:
    assert set(EXPLICIT) <= set(names())
    for name in EXPLICIT:
        found = installed(name)
        if found is not None:
            with pytest.raises(LicenceError, match="names no single licence"):
                licence("a name without an exception", found)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (says(License_Expression="MIT OR Apache-2.0", License="BSD-3-Clause"), "MIT OR Apache-2.0"),
        (says(License="MIT License", Classifier=[CLASSIFIER + "Zero-Clause BSD (0BSD)"]), "MIT"),
        (says(License="see LICENSE", Classifier=["Topic :: X", CLASSIFIER + "ISC License (ISCL)"]), "ISC"),
    ],
)
def test_the_first_that_says_something_counts(metadata: Message, expected: str) -> None:
    assert licence("some", metadata) == expected


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "'some' is not installed. Run 'make setup'"),
        (says(Name="some"), "names no single licence"),
        (says(Classifier=[CLASSIFIER + "BSD License"]), "names no single licence"),
        (says(Classifier=[CLASSIFIER + name for name in ("MIT License", "ISC License (ISCL)")]), "names no single"),
        (says(License_Expression="GPL-3.0-or-later"), "'some' is under GPL-3.0-or-later, which is not in ACCEPTED"),
        (says(License_Expression="MIT AND (LGPL-2.1-only OR 0BSD)"), "is not in ACCEPTED"),
    ],
)
def test_what_is_unknown_or_asks_for_more_is_refused(metadata: Message | None, said: str) -> None:
    with pytest.raises(LicenceError) as refused:
        licence("some", metadata)
    assert said in str(refused.value)


def test_what_is_named_by_hand_is_accepted_too() -> None:
    assert {expression for expression, _ in EXPLICIT.values()} <= ACCEPTED
    assert licence("isodate", None) == "BSD-3-Clause"


def test_a_page_that_is_old_is_noticed_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "licences.md"
    right = PAGE.read_text(encoding="utf-8")
    page.write_text(right.replace("| alembic | MIT |", "| alembic | ISC |"), encoding="utf-8")
    assert main(["--check"], page) == 1
    assert "Run 'python -m local.licences'" in capsys.readouterr().err
    assert main([], page) == 0
    assert page.read_text(encoding="utf-8") == right
