"""Passwords at rest: sealed with AES-GCM under the deployment's key, and bound to the credential's name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from elastic_jobs.errors import CredentialError

_VERSION = b"\x01"
_NONCE_BYTES = 12
"""The nonce length that NIST SP 800-38D recommends for GCM. Random nonces are safe for 2**32 passwords per key."""
_TAG_BYTES = 16


class Sealer:
    """Seals passwords so that only the same key opens them, and only under the same credential name.

    The name (compared without case) is additional data: a sealed password that is copied to another credential's row
    does not open there. Layout: one version byte, 12 bytes of nonce, ciphertext with its tag.

    While a key is being replaced, what an earlier key sealed still opens; ``is_current`` tells what to seal anew.
    """

    def __init__(
        self,
        key: bytes,
        *,
        previous: Sequence[bytes] = (),
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        key: 32 bytes, setting CREDENTIAL_KEY; seals.
        previous: earlier keys, setting CREDENTIAL_KEY_PREVIOUS; they only open.

        Raises:
            ValueError: a key is of another length.
        """
        for each in (key, *previous):
            if len(each) != 32:
                raise ValueError(f"The credential key must have 32 bytes, not {len(each)}.")
        self._ciphers = [AESGCM(each) for each in (key, *previous)]
        self._random_bytes = random_bytes

    def seal(self, name: str, password: str) -> bytes:
        """The password of the credential ``name``, sealed."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, password.encode(), _additional_data(name))

    def open(self, name: str, sealed: bytes) -> str:
        """The password again.

        Raises:
            CredentialError: it was sealed with an unknown key, for another name, or was changed since.
        """
        return self._open(name, sealed)[1]

    def is_current(self, name: str, sealed: bytes) -> bool:
        """Whether it was sealed with the present key. Raises as ``open``."""
        return self._open(name, sealed)[0] == 0

    def renewed(self, name: str, sealed: bytes, refused: str) -> str | None:
        """None: what is sealed does not change by itself."""
        del name, sealed, refused
        return None  # of the safes that can know a newer one, this is the answer "none"

    def forget(self, name: str, sealed: bytes) -> None:
        """Nothing is kept outside the row."""

    def _open(self, name: str, sealed: bytes) -> tuple[int, str]:
        """Which of the keys opens it, and what it holds."""
        head = len(_VERSION)
        if sealed[:head] != _VERSION or len(sealed) < head + _NONCE_BYTES + _TAG_BYTES:
            raise CredentialError(
                f"The stored password of credential '{name}' has a format that this version does not know;"
                " save the credential again."
            )
        nonce, ciphertext = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
        for number, cipher in enumerate(self._ciphers):
            try:
                return number, cipher.decrypt(nonce, ciphertext, _additional_data(name)).decode()
            except InvalidTag:
                continue
        raise CredentialError(
            f"The stored password of credential '{name}' cannot be opened: it was sealed with another"
            " CREDENTIAL_KEY or for another credential. Restore the key (CREDENTIAL_KEY_PREVIOUS), or save the"
            " credential again."
        )


def _additional_data(name: str) -> bytes:
    return _VERSION + name.casefold().encode()
