"""Passwords at rest: sealed with AES-GCM under the deployment's key, and bound to the credential's name."""

from __future__ import annotations

import secrets
from collections.abc import Callable

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
    """

    def __init__(self, key: bytes, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """key: 32 bytes, setting CREDENTIAL_KEY. Raises ``ValueError`` when it is of another length."""
        if len(key) != 32:
            raise ValueError(f"The credential key must have 32 bytes, not {len(key)}.")
        self._cipher = AESGCM(key)
        self._random_bytes = random_bytes

    def seal(self, name: str, password: str) -> bytes:
        """The password of the credential ``name``, sealed."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, password.encode(), _additional_data(name))

    def open(self, name: str, sealed: bytes) -> str:
        """The password again.

        Raises:
            CredentialError: it was sealed with another key, for another name, or was changed since.
        """
        head = len(_VERSION)
        if sealed[:head] != _VERSION or len(sealed) < head + _NONCE_BYTES + _TAG_BYTES:
            raise CredentialError(
                f"The stored password of credential '{name}' has a format that this version does not know;"
                " save the credential again."
            )
        nonce, ciphertext = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, _additional_data(name)).decode()
        except InvalidTag:
            raise CredentialError(
                f"The stored password of credential '{name}' cannot be opened: it was sealed with another"
                " CREDENTIAL_KEY or for another credential. Restore the key, or save the credential again."
            ) from None


def _additional_data(name: str) -> bytes:
    return _VERSION + name.casefold().encode()
