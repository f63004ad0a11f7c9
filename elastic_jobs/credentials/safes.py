"""Where a deployment keeps passwords: sealed in the job database, or in Azure Key Vault (setting CREDENTIAL_STORE)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from azure.core.credentials import TokenCredential

from elastic_jobs.credentials.key_vault import MARK, KeyVaultSafe, make_client
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.ports import Clock
from elastic_jobs.errors import CredentialError
from elastic_jobs.settings import Settings

KEY_VAULT = "keyvault"


class PasswordSafe(Protocol):
    """Keeps passwords by credential name. ``sealed`` is what the job database holds for it."""

    def seal(self, name: str, password: str) -> bytes:
        """Keep the password; what the job database is to hold. Raises ``CredentialError``."""
        ...

    def open(self, name: str, sealed: bytes) -> str:
        """The password. Raises ``CredentialError``."""
        ...

    def is_current(self, name: str, sealed: bytes) -> bool:
        """Whether it is kept where and as it would be kept today. Raises ``CredentialError``."""
        ...

    def renewed(self, name: str, sealed: bytes, refused: str) -> str | None:
        """Another password than the refused one, where it can change outside the job database."""
        ...

    def forget(self, name: str, sealed: bytes) -> None:
        """The credential was deleted: delete what is kept outside the job database. Raises ``CredentialError``."""
        ...


class MixedSafe:
    """Keeps passwords in one safe, and still opens those that an earlier choice kept in the other."""

    def __init__(self, *, sealer: Sealer | None, vault: KeyVaultSafe | None, into_vault: bool) -> None:
        """
        sealer: None when the deployment has no CREDENTIAL_KEY. vault: None when it has no KEY_VAULT_URL.

        Raises:
            ValueError: the safe to keep in is not there.
        """
        chosen: PasswordSafe | None = vault if into_vault else sealer
        if chosen is None:
            raise ValueError("The safe that passwords are to be kept in is missing.")
        self._chosen, self._sealer, self._vault = chosen, sealer, vault

    def seal(self, name: str, password: str) -> bytes:
        return self._chosen.seal(name, password)

    def open(self, name: str, sealed: bytes) -> str:
        return self._of(name, sealed).open(name, sealed)

    def is_current(self, name: str, sealed: bytes) -> bool:
        safe = self._of(name, sealed)
        return safe is self._chosen and safe.is_current(name, sealed)

    def renewed(self, name: str, sealed: bytes, refused: str) -> str | None:
        return self._of(name, sealed).renewed(name, sealed, refused)

    def forget(self, name: str, sealed: bytes) -> None:
        self._of(name, sealed).forget(name, sealed)

    def _of(self, name: str, sealed: bytes) -> PasswordSafe:
        if sealed == MARK:
            if self._vault is None:
                raise CredentialError(
                    f"The password of credential '{name}' is in a key vault, but KEY_VAULT_URL is not set;"
                    " set it, or save the credential again."
                )
            return self._vault
        if self._sealer is None:
            raise CredentialError(
                f"The password of credential '{name}' is sealed in the job database, but CREDENTIAL_KEY is not set;"
                " set it, or save the credential again."
            )
        return self._sealer


def _default_credential() -> TokenCredential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def make_safe(
    settings: Settings, clock: Clock, credential: Callable[[], TokenCredential] = _default_credential
) -> MixedSafe:
    """The safe that the settings describe. credential: the app's own identity, for the vault."""
    sealer = (
        Sealer(settings.credential_key, previous=settings.credential_key_previous) if settings.credential_key else None
    )
    vault = None
    if settings.key_vault_url:
        vault = KeyVaultSafe(
            make_client(settings.key_vault_url, credential()),
            clock,
            prefix=settings.key_vault_secret_prefix or f"{settings.server_name}-{settings.database_name}",
            keep=timedelta(seconds=settings.key_vault_cache_seconds),
        )
    return MixedSafe(sealer=sealer, vault=vault, into_vault=settings.credential_store == KEY_VAULT)
