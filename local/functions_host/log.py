"""Logging of the host: one line per event on standard error, with time and worker number."""

import logging
import sys
import time

_NOISY = ("azure", "urllib3", "uvicorn", "asyncio", "alembic")


def configure_logging(who: str, *, verbose: bool) -> None:
    """Send this process's log records to standard error; `who` is "host" or "worker N"."""
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ {who} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("functions_host").setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _NOISY:  # a line for every REST call or plug-in otherwise
        logging.getLogger(name).setLevel(logging.WARNING)
