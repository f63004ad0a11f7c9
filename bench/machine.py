"""The machine and what its processes use, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sqlite3
import ssl
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("pyodbc", "mssql-python-odbc", "sqlalchemy", "azure-storage-queue", "celery", "redis", "procrastinate")
Pids = Mapping[str, Iterable[int]]
"""Process ids by the name under which they are reported."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system; 0 when it is gone. Accurate to 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory that only this process holds (private pages, resident), so that shared libraries do not count."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")):
            total += int(line.split()[1]) * 1024
    return total


def threads_of(pid: int) -> int:
    """Threads of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def sockets_of(pid: int) -> int:
    """Open sockets of a process: a worker has one to each target on which it runs a script at this moment."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found += os.readlink(descriptor).startswith("socket:")
    return found


def children_of(pid: int) -> list[int]:
    """Process ids of a process's children, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *children_of(int(child))]
    return found


@dataclass(frozen=True)
class CpuMark:
    """CPU times at one moment, to measure from."""

    pids: dict[str, tuple[int, ...]]
    seconds: dict[str, float]

    @classmethod
    def now(cls, pids: Pids) -> CpuMark:
        fixed = {name: tuple(group) for name, group in pids.items()}
        return cls(fixed, {name: sum(map(cpu_seconds, group)) for name, group in fixed.items()})

    def since(self) -> dict[str, float]:
        """Seconds of CPU since then, by name."""
        return {name: max(0.0, sum(map(cpu_seconds, group)) - self.seconds[name]) for name, group in self.pids.items()}


def describe() -> dict[str, str]:
    """What a figure depends on: processor, memory, system, versions, and the commit that was measured."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "packages": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    try:
        ask = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **ask).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain"], **ask).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with uncommitted changes" if changed else str(commit)
