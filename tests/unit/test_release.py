"""What a release consists of: the notes of its version, its tag, its files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from local.release import build, main, run
from local.release_notes import UNRELEASED, ReleaseError, check_tag, project_version, release_notes, sections

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = """\
# Changelog

What changes for users.

## Unreleased

- Something to come.

## 1.2.0 - 2026-11-23

- A new page.
  It is long.

### Fixed

- A crash.

## 1.2.0-rc.1 - 2026-11-01

- A try.
"""


def write_project(folder: Path, changelog: str = CHANGELOG) -> None:
    """A repository whose version is 1.2.0, with everything committed."""
    (folder / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.0"\n', encoding="utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)


def write_bill(root: Path, path: Path) -> None:
    path.write_text(f"bill of {root.name}", encoding="utf-8")


def test_the_version_of_the_project_is_in_the_changelog() -> None:
    # Before its release a version may still be called Unreleased; then that section is the first.
    version = project_version((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert version in [section.name for section in found] or found[0].name == UNRELEASED
    assert all(section.text for section in found if section.name != UNRELEASED)
    days = [section.date for section in found if section.date]
    assert days == sorted(days, reverse=True)


def test_the_notes_are_the_section_of_the_version() -> None:
    assert release_notes(CHANGELOG, "1.2.0") == "- A new page.\n  It is long.\n\n### Fixed\n\n- A crash."
    assert release_notes(CHANGELOG, "1.2.0-rc.1") == "- A try."


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        (CHANGELOG.replace("1.2.0 -", "1.1.0 -"), "no section for version 1.2.0"),
        ("# Changelog\n\n## Unreleased\n\n- Text.\n", "Turn '## Unreleased' into '## 1.2.0 - ' and the day"),
        ("## 1.2.0 - 2026-11-23\n\n## 1.1.0 - 2026-10-01\n\n- Old.\n", "section '1.2.0' of CHANGELOG.md is empty"),
        (CHANGELOG.replace("1.2.0 - 2026-11-23", "1.2.0"), "has the heading '## 1.2.0'"),
        (CHANGELOG + "\n## 1.2.0 - 2026-11-23\n\n- Again.\n", "two sections '1.2.0'"),
    ],
)
def test_a_changelog_that_does_not_say_it_is_refused(changelog: str, said: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        release_notes(changelog, "1.2.0")
    assert said in str(refused.value)


@pytest.mark.parametrize("tag", ["v1.2", "1.2.0", "v1.2.0-rc.1", "v1.2.00", ""])
def test_the_tag_is_that_of_the_version(tag: str) -> None:
    check_tag("v1.2.0", "1.2.0")
    with pytest.raises(ReleaseError, match=r"whose tag is 'v1\.2\.0'"):
        check_tag(tag, "1.2.0")


def test_the_command_prints_the_notes_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(tmp_path)
    assert main(["notes", "--tag", "v1.2.0"], root=tmp_path) == 0
    assert capsys.readouterr().out == release_notes(CHANGELOG, "1.2.0") + "\n"
    assert main(["notes", "--tag", "v9.9.9"], root=tmp_path) == 1
    assert "The tag 'v9.9.9' does not belong to version 1.2.0" in capsys.readouterr().err


def test_the_files_of_a_release(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_project(project)
    (project / "scratch.txt").write_text("not committed, and so not released", encoding="utf-8")
    written = build(project, tmp_path / "dist", "v1.2.0", write_bill)
    assert [path.name for path in written] == [f"elastic-jobs-1.2.0.{end}" for end in ("tar.gz", "cdx.json", "sha256")]
    archive, bill, sums = written
    with tarfile.open(archive) as found:
        files = {member.name for member in found if member.isfile()}
    assert files == {"elastic-jobs-1.2.0/CHANGELOG.md", "elastic-jobs-1.2.0/pyproject.toml"}
    assert bill.read_text(encoding="utf-8") == "bill of project"
    hashes = {name: digest for digest, name in map(str.split, sums.read_text(encoding="utf-8").splitlines())}
    assert hashes == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (archive, bill)}
    assert (tmp_path / "dist" / "notes.md").read_text(encoding="utf-8") == release_notes(CHANGELOG, "1.2.0") + "\n"


def test_nothing_is_built_of_changed_files_or_for_another_tag(tmp_path: Path) -> None:
    project, output = tmp_path / "project", tmp_path / "dist"
    project.mkdir()
    write_project(project)
    with pytest.raises(ReleaseError, match="does not belong to version"):
        build(project, output, "v1.3.0", write_bill)
    (project / "CHANGELOG.md").write_text(CHANGELOG + "\nMore.\n", encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"not committed:\n M CHANGELOG\.md\n"):
        build(project, output, "v1.2.0", write_bill)
    assert not output.exists()


def test_a_program_that_fails_or_is_missing_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReleaseError, match="'no-such-program' is missing"):
        run(["no-such-program"], tmp_path)
    script = "import sys; print('found 2'); sys.exit(3)"
    with pytest.raises(ReleaseError, match="'searcher' ended with 3; what it said is above"):
        run([sys.executable, "-c", script], tmp_path, name="searcher")
    assert "found 2" in capfd.readouterr().out
