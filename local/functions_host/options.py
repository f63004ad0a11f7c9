"""What the host is started with: options of the supervisor, and what it tells each worker."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from local.functions_host.errors import StartError

MESSAGE_LEASE = 600.0  # seconds; hard-coded in the real host
GRACE = 5.0  # seconds for running invocations when the host is stopped
EXIT_START_FAILED = 1
EXIT_TIMED_OUT = 70  # a function ran longer than functionTimeout


@dataclass(frozen=True)
class HostOptions:
    """The command line. Times in seconds."""

    app: Path
    host_json: Path
    settings: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    workers: int = 1
    ready_file: Path | None = None
    grace: float = GRACE
    message_lease: float = MESSAGE_LEASE
    verbose: bool = False


@dataclass(frozen=True)
class WorkerOptions:
    """What one worker process needs to know; travels as JSON on its command line, so it holds no secret."""

    number: int
    parent: int
    app: str
    host_json: str
    state_directory: str
    socket_fd: int
    control_fd: int
    grace: float
    message_lease: float
    verbose: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "WorkerOptions":
        return cls(**json.loads(text))


def read_settings(path: Path | None) -> dict[str, str]:
    """The app settings in a JSON file: an object of names and values, or local.settings.json with its "Values".

    They win over the environment. Raises StartError.
    """
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise StartError(f"The settings file {path} is no valid JSON: {error}.") from error
    if isinstance(document, dict) and isinstance(document.get("Values"), dict):
        document = document["Values"]
    if not isinstance(document, dict):
        raise StartError(f"The settings file {path} must hold a JSON object.")
    wrong = [name for name, value in document.items() if not isinstance(value, str)]
    if wrong:
        raise StartError(f"The settings file {path}: the value of {wrong[0]} must be a string.")
    return dict(document)
