"""The command: python -m local.functions_host --app function_app.py --host-json host.json --workers 2."""

import argparse
import sys
from pathlib import Path

from local.functions_host.errors import StartError
from local.functions_host.log import configure_logging
from local.functions_host.options import EXIT_START_FAILED, GRACE, MESSAGE_LEASE, HostOptions
from local.functions_host.supervisor import Supervisor


def main(arguments: list[str] | None = None) -> int:
    """Run the host until SIGTERM or SIGINT; returns the exit code."""
    options = _parse(arguments)
    configure_logging("host", verbose=options.verbose)
    try:
        return Supervisor(options).run()
    except StartError as error:
        print(error, file=sys.stderr, flush=True)
        return EXIT_START_FAILED


def _parse(arguments: list[str] | None) -> HostOptions:
    parser = argparse.ArgumentParser(prog="local.functions_host", description="Stand-in for the Azure Functions host.")
    parser.add_argument("--app", type=Path, default=Path("function_app.py"), help="the app's Python file")
    parser.add_argument("--host-json", type=Path, default=Path("host.json"))
    parser.add_argument("--settings", type=Path, help="JSON file of app settings; they win over the environment")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free port")
    parser.add_argument("--workers", type=int, default=1, help="number of worker processes")
    parser.add_argument("--ready-file", type=Path, help="written when all workers serve: url, pid, workers")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds for running invocations when stopping")
    parser.add_argument(
        "--message-lease-seconds",
        type=float,
        default=MESSAGE_LEASE,
        help="for tests: how long a message in progress stays hidden (the real host: 600)",
    )
    parser.add_argument("--verbose", action="store_true", help="log every invocation")
    parsed = parser.parse_args(arguments)
    if parsed.workers < 1:
        parser.error("--workers must be at least 1")
    if parsed.message_lease_seconds < 1:
        parser.error("--message-lease-seconds must be at least 1")
    return HostOptions(
        parsed.app,
        parsed.host_json,
        parsed.settings,
        parsed.host,
        parsed.port,
        parsed.workers,
        parsed.ready_file,
        parsed.grace,
        parsed.message_lease_seconds,
        parsed.verbose,
    )


if __name__ == "__main__":
    sys.exit(main())
