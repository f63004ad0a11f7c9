"""The signing keys at hand: kept between requests, renewed when they change, and not trusted for ever."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from elastic_jobs.api.auth.openid import KeysUnavailableError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class KeyTimes:
    """Seconds.

    renew: age at which keys are fetched again, while they go on being used.
    trust: age up to which keys are used when they cannot be fetched again.
    again: least time between two fetches, so that forged key ids cause no more traffic than this.
    retry: as ``again``, after a fetch that failed.
    """

    renew: float = 3600
    trust: float = 24 * 3600
    again: float = 30
    retry: float = 5


class KeyRing:
    """Finds keys by their ids. One fetch at a time, in a thread of its own, for which all that need it wait."""

    def __init__(
        self,
        load: Callable[[], Mapping[str, RSAPublicKey]],
        *,
        monotonic: Callable[[], float],
        times: KeyTimes | None = None,
    ) -> None:
        self._load, self._monotonic, self._times = load, monotonic, times or KeyTimes()
        self._lock = threading.Lock()
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._running: Future[None] | None = None

    @property
    def retry_seconds(self) -> float:
        """How soon it makes sense to ask again after ``KeysUnavailableError``."""
        return self._times.retry

    async def find(self, key_id: str) -> RSAPublicKey | None:
        """The key of this id; None when the tenant has none.

        Raises:
            KeysUnavailableError: the keys could not be fetched, so nobody can tell.
        """
        key, fetch = self._look(key_id)
        if key is None and fetch is not None:
            # Shielded: a client that leaves must not cancel what others wait for.
            await asyncio.shield(asyncio.wrap_future(fetch))
            key = self._known(key_id)
        if key is None and self._blind():
            raise KeysUnavailableError("The signing keys of the tenant cannot be fetched at the moment.")
        return key

    def _look(self, key_id: str) -> tuple[RSAPublicKey | None, Future[None] | None]:
        """The key if it is at hand, and the fetch that is under way, begun now when one is due."""
        key = self._known(key_id)
        with self._lock:
            if self._running is None and (key is None or self._age() > self._times.renew) and self._may_fetch():
                self._begin()
            return key, self._running

    def _known(self, key_id: str) -> RSAPublicKey | None:
        return self._keys.get(key_id) if self._age() <= self._times.trust else None

    def _blind(self) -> bool:
        """A key that is not at hand says something only when the last fetch went well and is not long ago."""
        return self._failed or self._age() > self._times.trust

    def _age(self) -> float:
        return float("inf") if self._loaded_at is None else self._monotonic() - self._loaded_at

    def _may_fetch(self) -> bool:
        pause = self._times.retry if self._failed else self._times.again
        return self._tried_at is None or self._monotonic() - self._tried_at >= pause

    def _begin(self) -> None:
        fetch: Future[None] = Future()
        threading.Thread(target=self._fetch, args=(fetch,), name="signing-keys", daemon=True).start()
        self._running = fetch

    def _fetch(self, fetch: Future[None]) -> None:
        keys: Mapping[str, RSAPublicKey] = {}
        try:
            keys = self._load()
        except KeysUnavailableError as error:
            _log.warning("The signing keys of the tenant could not be fetched. %s", error)
        except Exception:
            _log.exception("The signing keys of the tenant could not be fetched.")
        with self._lock:
            self._tried_at = self._monotonic()
            self._failed = not keys
            if keys:
                self._keys, self._loaded_at = keys, self._tried_at
            self._running = None
        fetch.set_result(None)
