"""Queue outputs: what a function returned or set is sent after it succeeded."""

import threading
from collections.abc import Callable, Iterable

from local.functions_host.bindings import RETURN, BoundFunction, QueueOutput
from local.functions_host.converters import encode
from local.functions_host.queue_messages import encode_body, output_bodies
from local.functions_host.queue_store import StorageUnavailableError, Stores

SEND_ATTEMPTS = 5  # over about 6 seconds: a failed send fails the invocation, and its message runs again
OutputValues = list[tuple[QueueOutput, list[str]]]


class OutputSender:
    """Sends outputs and tells the listeners of this worker, so that they look at once, as the real host's do."""

    def __init__(self, stores: Stores, base64_encoded: bool, on_sent: Callable[[str, str], None]) -> None:
        self._stores = stores
        self._base64 = base64_encoded
        self._on_sent = on_sent
        self._pause = threading.Event()

    def prepare(self, function: BoundFunction, returned: object, set_values: dict[str, object]) -> OutputValues:
        """Encode every output of an invocation. Raises when a value is of a wrong type, malformed or too long."""
        prepared: OutputValues = []
        for output in function.outputs:
            value = returned if output.argument == RETURN else set_values.get(output.argument)
            if value is None:
                continue
            datum = encode("queue", value)
            prepared.append((output, [encode_body(body, self._base64) for body in output_bodies(datum)]))
        return prepared

    def send(self, prepared: OutputValues) -> None:
        """Send them, in order. Blocks. Raises StorageUnavailableError when the service stays away."""
        for output, texts in prepared:
            self._send_all(output, texts)
            self._on_sent(output.connection, output.queue)

    def _send_all(self, output: QueueOutput, texts: Iterable[str]) -> None:
        store = self._stores.get(output.connection, output.queue)
        for text in texts:
            for attempt in range(1, SEND_ATTEMPTS + 1):
                try:
                    store.send(text)
                    break
                except StorageUnavailableError:
                    if attempt == SEND_ATTEMPTS:
                        raise
                    self._pause.wait(0.4 * 2 ** (attempt - 1))
