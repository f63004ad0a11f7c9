"""How the command ends: its exit codes, and what goes wrong as sentences."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command tells the shell."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    """What was asked for cannot be: an unknown option, a missing argument, a file that cannot be read."""
    CANCELED_OR_TIMED_OUT = 3
    NO_ACCESS = 4
    """No token, one that is not accepted, or a role that is missing."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it (128 + SIGINT)."""


def first_line(error: Exception) -> str:
    """The beginning of what somebody else's error says: the rest of it is for programmers."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class CliError(Exception):
    """Something a person reads as one sentence; ``exit_code`` is what the shell gets."""

    exit_code = ExitCode.FAILED


class UsageError(CliError):
    """What was asked for cannot be."""

    exit_code = ExitCode.USAGE


class ApiError(CliError):
    """The API refused. ``status`` and ``code`` are those of its answer, the text is its message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Unreachable(CliError):  # noqa: N818  # reads as what is the matter: the endpoint is unreachable
    """The endpoint did not answer, or what answered is not the management API."""


class NoAccess(CliError):  # noqa: N818  # likewise
    """401 or 403, or no token to begin with."""

    exit_code = ExitCode.NO_ACCESS

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code
