"""The product's own app, with a count of what its worker asks of the job database and of storage.

Run by the stand-in for the Functions host in place of ``function_app.py``. Each worker process appends a line of JSON
per statement and per storage request to a file of its own in the folder that ``BENCH_COUNTS`` names.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from urllib3 import HTTPConnectionPool

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from function_app import app  # noqa: E402  importable only now

__all__ = ["app"]

_file = (Path(os.environ["BENCH_COUNTS"]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8", buffering=1)
_lock = threading.Lock()


def _note(kind: str, text: str) -> None:
    # The host's threads fetch messages; everything else is the app's doing.
    thread = threading.current_thread().name
    by = "host" if thread.startswith(("fetch-", "renew-", "storage")) else "app"
    with _lock:
        _file.write(json.dumps({"at": time.time(), "kind": kind, "by": by, "text": text[:400]}) + "\n")


@event.listens_for(Engine, "before_cursor_execute")
def _statement(*arguments: Any) -> None:
    _note("statement", str(arguments[2]))


_send = HTTPConnectionPool.urlopen


def _counted_send(self: HTTPConnectionPool, method: str, url: str, *arguments: Any, **options: Any) -> Any:
    _note("storage", f"{method} {url.partition('?')[0]}")
    return _send(self, method, url, *arguments, **options)


# The storage library's requests come down to this as well. A plain assignment to a method is no typed Python.
setattr(HTTPConnectionPool, "urlopen", _counted_send)  # noqa: B010
