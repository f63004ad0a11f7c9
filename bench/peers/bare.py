"""The limit and the floor: a bare thread pool, and a loop. A process of its own that reads orders from standard input.

    python -m bench.peers.bare

An order is a line of JSON: ``{"concurrency": 64, "databases": [...], "outcomes": file}``; the answer is one too:
``{"succeeded": ...}``. With a concurrency of 1 it is a loop that appends each outcome to the file at
once, as one over sqlcmd with ``>> log`` does. The pool keeps nothing that would outlive the process: it is what the
driver and the databases can do at all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.peers.work import run


def pool(databases: Sequence[str], concurrency: int, statement: str | None) -> int:
    """Run on all of them with so many threads; how many succeeded."""

    def one(database: str) -> bool:
        run(database, statement)
        return True

    with ThreadPoolExecutor(concurrency) as threads:
        return sum(threads.map(one, databases))


def loop(databases: Sequence[str], outcomes: Path) -> int:
    """Run on one after the other and append each outcome to a file; how many succeeded."""
    with outcomes.open("a", encoding="utf-8", buffering=1) as file:
        for database in databases:
            run(database)
            file.write(f"{database}\tsucceeded\n")
    return len(databases)


def main() -> int:
    for line in sys.stdin:
        order = json.loads(line)
        if order["concurrency"] > 1:
            succeeded = pool(order["databases"], order["concurrency"], order.get("statement"))
        else:
            succeeded = loop(order["databases"], Path(order["outcomes"]))
        print(json.dumps({"succeeded": succeeded}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
