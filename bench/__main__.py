"""The whole suite, one part after the other: ``python -m bench [part ...] [options of all parts]``."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.report import parser
from local.stack import ROOT

SPREAD = "--servers 2 --name fanout-spread"
SIZES = "--cases 1000x16,1000x100,10000x64 --waiting 800 --runs 1 --name fanout-sizes"
PARTS = {
    "fanout": ["bench.fanout"],
    # The same with the targets' work on two processes: one alone can keep up with some 170 targets a second only.
    "fanout-spread": ["bench.fanout", *SPREAD.split()],
    "fanout-sizes": ["bench.fanout", *SIZES.split()],
    "lag": ["bench.lag"],
    "waiting": ["bench.waiting"],
    "growth": ["bench.growth"],
    "idle": ["bench.idle"],
    "recovery": ["bench.recovery"],
}


def main(arguments: list[str]) -> int:
    """Each part in a process of its own; exit code 1 when one of them failed or missed a demand."""
    made = parser("The whole benchmark suite.")
    made.add_argument("parts", nargs="*", help=f"some of: {', '.join(PARTS)}; default: all")
    options = made.parse_args(arguments)
    parts = options.parts or list(PARTS)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        made.error(f"There is no part '{unknown[0]}'; there are {', '.join(PARTS)}.")
    shared = ["--results", str(options.results), "--seed", str(options.seed), *(["--tiny"] if options.tiny else [])]
    codes: dict[str, int] = {}
    began = time.monotonic()
    for part in parts:
        print(f"\n== {part} ==", flush=True)
        command = [sys.executable, "-m", *PARTS[part], *shared]
        codes[part] = subprocess.run(command, cwd=ROOT, check=False).returncode
    minutes = (time.monotonic() - began) / 60
    bad = [part for part, code in codes.items() if code]
    verdict = f"Failed or missed a demand: {', '.join(bad)}." if bad else "All demands are met."
    print(f"\n{verdict} {minutes:.0f} minutes.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
