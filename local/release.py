"""What a release consists of, made on this machine or by the workflow 'release'.

    python -m local.release notes [--tag v1.2.3]      print what CHANGELOG.md says about the version in pyproject.toml
    python -m local.release audit [FILE ...]          ask PyPI for known vulnerabilities in what is pinned
    python -m local.release build [--tag v1.2.3]      write archive, bill of materials, notes and checksums into dist/

Only the standard library is imported, so that no set-up is needed for it: git and uv have to be there.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local.release_notes import ReleaseError, check_tag, project_version, release_notes

ROOT = Path(__file__).resolve().parents[1]

# In environments of their own: what they need must not decide about the versions of what is released.
AUDITOR = "pip-audit==2.10.1"
BILL_MAKER = "cyclonedx-bom==7.5.0"


def run(command: Sequence[str], folder: Path, name: str | None = None) -> str:
    """Run a program; what it wrote to standard output. Its errors go to ours.

    name: of the program, when it is not the first word.

    Raises:
        ReleaseError: it is missing, or ended with an error.
    """
    name = name or command[0]
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise ReleaseError(f"The program '{name}' is missing. Install it, then do it again.") from error
    if done.returncode != 0:
        print(done.stdout, end="")
        raise ReleaseError(f"'{name}' ended with {done.returncode}; what it said is above.")
    return done.stdout


def tool(package: str, words: Sequence[str], folder: Path) -> str:
    """Run a program (the first of ``words``) of a package from PyPI in an environment of its own, as ``run``."""
    command = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", package, *words]
    return run(command, folder, name=words[0])


def audit(files: Sequence[str]) -> None:
    """Ask PyPI for known vulnerabilities.

    Without ``--strict`` a package about which PyPI did not answer would count as a package without vulnerabilities.

    Raises:
        ReleaseError: there are some, or PyPI did not answer for every package.
    """
    options = ("--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off")
    for file in files:
        print(file, flush=True)
        print(tool(AUDITOR, ["pip-audit", *options, "--requirement", file], ROOT), end="")


def write_bill(root: Path, path: Path) -> None:
    """Write the bill of materials (CycloneDX, JSON) of what is deployed."""
    options = ("--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON")
    tool(BILL_MAKER, ["cyclonedx-py", "requirements", *options, "-o", str(path), "requirements.txt"], root)


def build(root: Path, folder: Path, tag: str | None, bill: Callable[[Path, Path], None] = write_bill) -> list[Path]:
    """Write the files of a release; those that users get, the checksums last.

    The archive holds what is committed, and the rest tells of the files that lie there: both must be the same.

    Raises:
        ReleaseError: see ``notes``; files are changed that are not committed; a program failed.
    """
    text = notes(root, tag)
    changed = run(["git", "status", "--porcelain", "--untracked-files=no"], root)
    if changed:
        raise ReleaseError(
            f"These files are changed and not committed:\n{changed}Commit them, or take the changes back."
        )
    name = f"elastic-jobs-{project_version(_read(root, 'pyproject.toml'))}"
    folder.mkdir(parents=True, exist_ok=True)
    archive, materials = folder / f"{name}.tar.gz", folder / f"{name}.cdx.json"
    run(["git", "archive", "--format=tar.gz", f"--prefix={name}/", f"--output={archive}", "HEAD"], root)
    bill(root, materials)
    (folder / "notes.md").write_text(text + "\n", encoding="utf-8")
    sums = folder / f"{name}.sha256"
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in (archive, materials)]
    sums.write_text("".join(lines), encoding="utf-8")
    return [archive, materials, sums]


def notes(root: Path, tag: str | None) -> str:
    """What changed in the version of ``pyproject.toml``.

    Raises:
        ReleaseError: the changelog says nothing about it, or ``tag`` belongs to another version.
    """
    version = project_version(_read(root, "pyproject.toml"))
    if tag is not None:
        check_tag(tag, version)
    return release_notes(_read(root, "CHANGELOG.md"), version)


def _read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.release", description="What a release consists of.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (("notes", "print the notes of this version"), ("build", "write the files of this version")):
        commands.add_parser(name, help=about).add_argument(
            "--tag", help="refuse when it is not the tag of this version"
        )
    commands.choices["build"].add_argument(
        "--output", type=Path, default=root / "dist", help="the folder (default: dist)"
    )
    auditing = commands.add_parser("audit", help="look for known vulnerabilities")
    auditing.add_argument("files", nargs="*", default=["requirements.txt"], help="locked requirements files")
    given = parser.parse_args(arguments)
    try:
        if given.command == "notes":
            print(notes(root, given.tag))
        elif given.command == "audit":
            audit(given.files)
        else:
            for path in build(root, given.output.resolve(), given.tag):
                print(path)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
