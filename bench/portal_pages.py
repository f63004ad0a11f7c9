"""How long the portal's pages take, and weigh, over a run of 5,000 targets.

    python -m bench.portal_pages [--repeats 20]

Serves the app on a free port with a SQLite job database that holds the story of ``local/portal_pictures`` (its largest
run has 5,000 targets), and asks for each page over HTTP. The table shows the median and the slowest answer in
milliseconds, the CPU time of server and client together, and the size. Exit code 1 when a page takes more than 200 ms
of CPU time (what others do on the machine at the same time does not count) or weighs more than 200 kB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from local.portal_pictures.site import Site, site

MOST_MILLISECONDS, MOST_KILOBYTES = 200, 200


def pages(shown: Site) -> dict[str, str]:
    """The pages by a name for the table."""
    run = f"/portal/executions/{shown.story.large}"
    return {
        "overview": "/portal",
        "executions": "/portal/executions",
        "execution": run,
        "execution, live part": f"{run}/live",
        "execution, failed targets": f"{run}?state=failed",
        "execution, last page": f"{run}?page=100",
        "execution, search": f"{run}?text=0999",
        "jobs": "/portal/jobs",
        "job": "/portal/jobs/Grant%20reporting",
        "target groups": "/portal/target-groups",
    }


def main(arguments: Sequence[str]) -> int:
    """Measure; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.portal_pages", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats: int = parser.parse_args(arguments).repeats
    good = True
    print(f"{'page':28} {'median ms':>10} {'slowest ms':>11} {'CPU ms':>7} {'kB':>7}")
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as shown:
        headers = {"Authorization": f"Bearer {shown.token}"}
        with httpx.Client(base_url=shown.url, headers=headers, timeout=60) as http:
            for name, address in pages(shown).items():
                size, taken, cpu = _measure(http, address, repeats)
                good &= cpu <= MOST_MILLISECONDS and size <= MOST_KILOBYTES * 1000
                median, slowest = statistics.median(taken), max(taken)
                print(f"{name:28} {median:10.0f} {slowest:11.0f} {cpu:7.0f} {size / 1000:7.1f}", flush=True)
    if not good:
        print(f"A page takes more than {MOST_MILLISECONDS} ms of CPU time or {MOST_KILOBYTES} kB.", file=sys.stderr)
    return 0 if good else 1


def _measure(http: httpx.Client, address: str, repeats: int) -> tuple[int, list[float], float]:
    """Size in bytes, the time of each answer and the CPU time of one, in milliseconds."""
    http.get(address)  # compiles templates and statements
    taken, size, spent = [], 0, time.process_time()
    for _ in range(repeats):
        begun = time.perf_counter()
        answer = http.get(address)
        elapsed = (time.perf_counter() - begun) * 1000
        if answer.status_code != 200:
            raise SystemExit(f"{address}: {answer.status_code}")
        size = len(answer.content)
        taken.append(elapsed)
    return size, taken, (time.process_time() - spent) * 1000 / repeats


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
