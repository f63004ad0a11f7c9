"""``make serve``: the whole stack until Ctrl-C (SIGINT) or SIGTERM. Writes ``.local/endpoint.json``.

Options are environment variables: PORT, DATABASES (a number), WORKERS, JOB_DATABASE_URL, TARGET_SQL. A folder given as
the argument takes the place of ``.local``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.real_server import RealServer
from local.stack import ROOT, Stack, StackError, StackOptions, write_private

FOLDER = ROOT / ".local"
DEFAULT_PORT = 7071


def main(arguments: list[str]) -> int:
    """Serve; exit code 0 when asked to stop, 1 when something could not start or died, with a sentence."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    folder = Path(arguments[0]) if arguments else FOLDER
    try:
        options = read_options(os.environ, folder / "serve")
        with _only_one(options.folder):
            return _serve(options, folder / "endpoint.json", stop)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def _serve(options: StackOptions, endpoint_file: Path, stop: threading.Event) -> int:
    with Stack(options, print) as stack:
        endpoint = stack.endpoint()
        write_private(endpoint_file, json.dumps(endpoint, indent=2) + "\n")
        try:
            print(f"\nThe management API listens on {endpoint['api']}; how to reach everything: {endpoint_file}")
            print(f"The portal: {endpoint['api']}/portal; it asks for the token of that file.")
            print("Stop with Ctrl-C.", flush=True)
            make = _Make.parent()
            while not stop.wait(0.5):
                if make is not None and make.was_interrupted():
                    break
                dead = stack.dead_part()
                if dead is not None:
                    raise StackError(dead)
        finally:
            endpoint_file.unlink(missing_ok=True)
            print("Stopping ...", flush=True)
    print("Stopped.")
    return 0


def read_options(env: Mapping[str, str], folder: Path) -> StackOptions:
    """The options of ``make serve`` from the environment.

    Raises:
        StackError: one of them is wrong; the sentence names it.
    """
    target_sql = env.get("TARGET_SQL", "")
    try:
        real_server = RealServer.parse(target_sql) if target_sql else None
    except ValueError as error:
        raise StackError(str(error)) from None
    return StackOptions(
        folder=folder,
        port=_number(env, "PORT", DEFAULT_PORT, least=0),
        databases=tuple(f"database{n}" for n in range(1, _number(env, "DATABASES", 2, least=1) + 1)),
        workers=_number(env, "WORKERS", 2, least=1),
        job_database_url=env.get("JOB_DATABASE_URL") or None,
        real_server=real_server,
    )


def _number(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    value = env.get(name) or str(default)
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < least:
        raise StackError(f"{name} is '{value}'; it must be a whole number of at least {least}.")
    return int(value)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("Another `make serve` runs in this folder; stop it first.") from None
        yield


class _Make:
    """The make that started us. An interrupt sent to make alone never reaches its recipe: make waits for it to end.

    After the first SIGINT make no longer catches that signal, and that can be seen (Linux only).
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")

    @classmethod
    def parent(cls) -> _Make | None:
        make = cls(os.getppid())
        return make if make._read("Name") == "make" and not make.was_interrupted() else None

    def was_interrupted(self) -> bool:
        caught = self._read("SigCgt")
        return not caught or not int(caught, 16) >> (signal.SIGINT - 1) & 1

    def _read(self, field: str) -> str:
        try:
            found = re.search(rf"^{field}:\s*(\S+)", self._status.read_text(), re.MULTILINE)
        except OSError:
            return ""
        return found.group(1) if found else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
