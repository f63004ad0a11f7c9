"""Calls to Azure Resource Manager as who is signed in to ``azd``. Standard library only: hooks run before installs."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

SCOPE = "https://management.azure.com/.default"


class DeployError(Exception):
    """A step of the deployment that could not be done; the text says which, why, and what to do."""


def azd_token(scope: str = SCOPE) -> str:
    """An access token of who is signed in.

    Raises:
        DeployError: azd is not there, or nobody is signed in.
    """
    command = ["azd", "auth", "token", "--scope", scope, "--output", "json"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - constant words
    except FileNotFoundError:
        raise DeployError("azd was not found; this step is a hook of azd, run it with: azd hooks run") from None
    if answer.returncode != 0:
        raise DeployError(f"azd gives no token; sign in with: azd auth login ({answer.stderr.strip()[:300]})")
    return str(json.loads(answer.stdout)["token"])


class Arm:
    """Azure Resource Manager.

    Args:
        endpoint: its address.
        token: gives an access token.
        pause: waits so many seconds between two looks at a resource that changes.
    """

    def __init__(
        self,
        endpoint: str = "https://management.azure.com",
        *,
        token: Callable[[], str] = azd_token,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint, self._token, self.pause = endpoint, token, pause

    def call(self, method: str, resource: str, version: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The resource after the call; empty when there is none.

        Raises:
            DeployError: the call was refused, or not answered.
        """
        request = urllib.request.Request(  # noqa: S310 - the endpoint is a constant of the deployment
            f"{self._endpoint}{resource}?api-version={version}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404 and method in {"GET", "DELETE"}:
                return {}
            reason = error.read().decode(errors="replace")[:300]
            raise DeployError(f"{method} {resource} was refused with {error.code}: {reason}") from None
        except OSError as error:
            raise DeployError(f"{method} {resource} was not answered: {error}") from None
        return dict(json.loads(text)) if text else {}

    def wait(self, resource: str, version: str, done: Callable[[dict[str, Any]], bool], *, tries: int = 60) -> None:
        """Look at a resource every 5 seconds until it is as wanted.

        Raises:
            DeployError: it is not after so many tries.
        """
        for _ in range(tries):
            if done(self.call("GET", resource, version)):
                return
            self.pause(5)
        raise DeployError(f"{resource} did not change in {tries * 5} seconds; look at it in the portal and try again.")
