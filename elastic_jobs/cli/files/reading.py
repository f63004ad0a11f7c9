"""Reads a folder of definitions. All that is wrong is told at once, each with file, line and reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from elastic_jobs.cli.errors import UsageError
from elastic_jobs.cli.files import names
from elastic_jobs.cli.files.building import Reporter, build_group, build_job
from elastic_jobs.cli.files.model import Definitions, GroupDefinition, JobDefinition, key
from elastic_jobs.cli.files.nodes import Entry, Report, read_document
from elastic_jobs.cli.files.problems import BrokenFilesError, Problem
from elastic_jobs.cli.files.shapes import GROUP, JOB, Shape

GROUPS, JOBS = "groups", "jobs"
_BYTE_ORDER = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def read_folder(folder: Path) -> Definitions:
    """The definitions in a folder.

    Raises:
        UsageError: there is no such folder, or neither ``groups`` nor ``jobs`` in it.
        BrokenFilesError: something in it is wrong.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; make it with 'elastic-jobs export'.")
    if not any((folder / name).is_dir() for name in (GROUPS, JOBS)):
        raise UsageError(f"{folder} has neither a folder '{GROUPS}' nor a folder '{JOBS}'; is it the right one?")
    return _Folder(folder).read()


class _Folder:
    """One reading of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._root = folder, folder.resolve()
        self._problems: list[Problem] = []

    def read(self) -> Definitions:
        groups = self._groups()
        defined = {key(name) for name in groups}
        jobs = list(self._jobs(defined))
        if self._problems:
            raise BrokenFilesError(self._problems)
        return Definitions(groups=tuple(groups.values()), jobs=tuple(jobs)).sorted()

    def _groups(self) -> dict[str, GroupDefinition]:
        found: dict[str, GroupDefinition] = {}
        for name, entry, reporter in self._definitions(GROUPS, GROUP):
            found[name] = build_group(name, entry, reporter)
        return found

    def _jobs(self, groups: set[str]) -> Iterator[JobDefinition]:
        for name, entry, reporter in self._definitions(JOBS, JOB):
            yield build_job(name, entry, reporter, groups, self._script)

    def _definitions(self, kind: str, shape: Shape) -> Iterator[tuple[str, Entry, Reporter]]:
        """Each definition of a kind with its name, as far as it can be read."""
        taken: dict[str, str] = {}
        for file in self._listing(kind):
            reporter = Reporter(f"{kind}/{file.name}", self._problems)
            text = self._text(file, reporter)
            entry = None if text is None else read_document(text, shape, reporter.report)
            if entry is None:
                continue
            name = self._name(file, shape, entry, reporter)
            if name is None:
                continue
            earlier = taken.setdefault(key(name), reporter.file)
            if earlier != reporter.file:
                reason = f"The {shape.what} '{name}' is defined in {earlier}, too; leave one out."
                reporter.report(entry.at("name"), reason)
                continue
            yield name, entry, reporter

    def _listing(self, kind: str) -> list[Path]:
        """The YAML files of a kind; what else is there must be scripts of jobs."""
        place = self._folder / kind
        if not place.exists():
            return []
        reporter = Reporter(kind, self._problems)
        if not place.is_dir() or not self._is_inside(place):
            reporter.report(0, "This is no folder inside the definitions' folder.")
            return []
        found = []
        for file in sorted(place.iterdir(), key=lambda each: each.name):
            inside = Reporter(f"{kind}/{file.name}", self._problems)
            if file.suffix == ".yaml":
                found.append(file)
            elif file.name.startswith(".") or file.suffix.lower() == ".md" or (kind == JOBS and file.is_dir()):
                continue
            elif file.suffix.lower() in {".yml", ".yaml"}:
                inside.report(0, f"The file would be left out; call it {file.stem}.yaml.")
            else:
                inside.report(0, "This is no definition; they are called NAME.yaml.")
        return found

    def _name(self, file: Path, shape: Shape, entry: Entry, reporter: Reporter) -> str | None:
        if "name" in entry.lines:
            name: str | None = entry.get("name")
            if name is not None and not names.fits(file.stem, name):
                reporter.report(
                    entry.at("name"),
                    f"The {shape.what} is called '{name}' but its file {file.name}; call the file "
                    f"{names.file_stem(name)}.yaml, or correct the name.",
                )
            return reporter.checked_name(shape.what, name, entry.at("name"))
        name = names.name_of(file.stem)
        if name is None:
            reporter.report(0, f"The file's name stands for no name; write the {shape.what}'s 'name' into it.")
            return None
        return reporter.checked_name(shape.what, name, 0)

    def _text(self, file: Path, reporter: Reporter) -> str | None:
        data = self._bytes(file, reporter.report, 0)
        return None if data is None else decoded(data, reporter.report)

    def _script(self, path: str, reporter: Reporter, line: int) -> str | None:
        """The script that a step names, exactly as it stands in its file."""
        parts = PurePosixPath(path)
        odd = "\\" in path or "\0" in path or ":" in path
        if odd or parts.is_absolute() or ".." in parts.parts or not parts.parts or path.startswith("~"):
            reporter.report(line, f"The script '{path[:128]}' must be a path below {JOBS}/ with '/', without '..'.")
            return None
        data = self._bytes(self._folder / JOBS / parts, reporter.report, line, called=f"{JOBS}/{parts}")
        if data is None:
            return None
        own = Reporter(f"{JOBS}/{parts}", self._problems)
        text = decoded(data, own.report)
        if text is not None and not text.strip():
            own.report(0, "The script is empty.")
            return None
        return text

    def _bytes(self, file: Path, report: Report, line: int, called: str | None = None) -> bytes | None:
        of = f"The script {called} " if called else "The file "
        try:
            if not self._is_inside(file):
                report(line, f"{of}leads out of the definitions' folder; copy it into it.")
                return None
            if not file.is_file():
                report(line, f"{of}is not there." if not file.exists() else f"{of}is no file.")
                return None
            return file.read_bytes()
        except (OSError, RuntimeError, ValueError) as error:
            report(line, f"{of}cannot be read: {error}.")
            return None

    def _is_inside(self, path: Path) -> bool:
        """Whether a path, with all links followed, is in the folder."""
        return Path(os.path.realpath(path)).is_relative_to(self._root)


def decoded(data: bytes, report: Report) -> str | None:
    """The text of a file: UTF-8, or UTF-16 with its mark. A byte order mark is the file's, no part of the text."""
    encoding = next((name for mark, name in _BYTE_ORDER if data.startswith(mark)), "utf-8")
    raw = data[2:] if encoding != "utf-8" else data.removeprefix(b"\xef\xbb\xbf")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        at = raw.count(b"\n", 0, error.start) + 1
        report(at, f"The file is not {encoding.upper()} here (byte {error.start}); save it as UTF-8.")
        return None
