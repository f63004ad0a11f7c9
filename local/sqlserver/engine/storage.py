"""Where the rows of the emulated databases live: one SQLite file per database, in a temporary directory.

WAL mode gives what Azure SQL's default (read committed snapshot) gives: readers see the last committed state and never
wait for a writer. Files and handles come into being at first use; a few idle handles are kept for the next session.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from .runtime import Context, install

IDLE_HANDLES = 64
_PAGE_CACHE_KIB = 400


class Handle:
    """One SQLite connection with the T-SQL functions on it. ``context`` tells the functions whose statement runs."""

    def __init__(self, path: Path) -> None:
        new = not path.exists()
        self.context = Context()
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        # Nothing here has to survive a crash of the machine: no fsync, from the first page on.
        self.connection.execute("PRAGMA synchronous = OFF")
        if new:
            self.connection.execute("PRAGMA page_size = 2048")
            self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
        self.connection.execute("PRAGMA foreign_keys = ON")
        install(self.connection, self.context)

    def reset(self) -> None:
        """Leave nothing of one session to the next."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        for (name,) in self.connection.execute("SELECT name FROM temp.sqlite_master WHERE type = 'table'").fetchall():
            quoted = str(name).replace('"', '""')
            self.connection.execute(f'DROP TABLE temp."{quoted}"')
        self.context.clear()

    def close(self) -> None:
        self.connection.close()


class Storage:
    """The files of one logical server, and its idle handles (least recently used go first)."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._own = directory is None
        self._mutex = threading.Lock()
        self._numbers = itertools.count(1)
        self._idle: OrderedDict[int, tuple[DatabaseFile, Handle]] = OrderedDict()
        self._idle_ids = itertools.count()

    def file(self) -> DatabaseFile:
        return DatabaseFile(self, next(self._numbers))

    @property
    def directory(self) -> Path:
        with self._mutex:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="sqlserver-emulator-"))
            return self._directory

    def take_idle(self, file: DatabaseFile) -> Handle | None:
        with self._mutex:
            for key, (owner, handle) in reversed(self._idle.items()):
                if owner is file:
                    del self._idle[key]
                    return handle
        return None

    def keep_idle(self, file: DatabaseFile, handle: Handle) -> None:
        surplus = None
        with self._mutex:
            self._idle[next(self._idle_ids)] = (file, handle)
            if len(self._idle) > IDLE_HANDLES:
                _, (_, surplus) = self._idle.popitem(last=False)
        if surplus is not None:
            surplus.close()

    def forget(self, file: DatabaseFile) -> None:
        with self._mutex:
            keys = [key for key, (owner, _) in self._idle.items() if owner is file]
            handles = [self._idle.pop(key)[1] for key in keys]
        for handle in handles:
            handle.close()

    def close(self) -> None:
        with self._mutex:
            handles = [handle for _, handle in self._idle.values()]
            self._idle.clear()
        for handle in handles:
            handle.close()
        if self._own and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


class DatabaseFile:
    """The file of one database. ``open`` and ``give_back`` bracket a session's use of a handle."""

    def __init__(self, storage: Storage, number: int) -> None:
        self._storage = storage
        self._number = number
        self._mutex = threading.Lock()
        self._closed = False

    @property
    def path(self) -> Path:
        return self._storage.directory / f"{self._number}.db"

    def open(self) -> Handle:
        handle = self._storage.take_idle(self)
        if handle is not None:
            return handle
        with self._mutex:  # two first openers would both try to switch a new file to WAL
            return Handle(self.path)

    def give_back(self, handle: Handle) -> None:
        try:
            handle.reset()
        except sqlite3.Error:
            handle.close()
            return
        if self._closed:
            handle.close()
        else:
            self._storage.keep_idle(self, handle)

    def close(self) -> None:
        """Drop the database's rows."""
        self._closed = True
        self._storage.forget(self)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
