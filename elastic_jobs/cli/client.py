"""The management API as a client sees it, under the short prefix ``/agent``.

One ``Client`` per command. Paths are made by ``path``, which encodes names: ``client.get(path("jobs", name))``.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import uuid4

import httpx

from elastic_jobs.cli.errors import ApiError, NoAccess, Unreachable, UsageError

__all__ = ["ApiError", "Client", "NoAccess", "Unreachable", "checked_endpoint", "path"]

PREFIX = "/agent"
LONGEST_SECONDS = 230.0
"""The front end of a Functions app gives up on an answer after this; a preflight may take 200 s."""
_CONNECT_SECONDS = 10.0
_TRIES = 4
_LONGEST_PAUSE = 30.0
_BUSY = frozenset({429, 503})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"[A-Za-z0-9.\-_:\[\]]+")


def path(*segments: object) -> str:
    """A path below the agent, with names percent-encoded: ``path("jobs", "a/b")`` is ``/jobs/a%2Fb``."""
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)


def checked_endpoint(endpoint: str) -> str:
    """The endpoint without a slash at its end.

    Raises:
        UsageError: it is no URL, or would carry the token over plain HTTP to another machine.
    """
    try:
        parts = urlsplit(endpoint.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    del port
    if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(parts.netloc):
        raise UsageError(f"'{endpoint}' is no endpoint; write it as https://my-jobs.azurewebsites.net.")
    if parts.query or parts.fragment:
        raise UsageError(f"The endpoint '{endpoint}' has a query; leave out what follows the path.")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageError(
            f"The endpoint '{endpoint}' would get the token unencrypted; use https (http is for this machine only)."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class Client:
    """Talks to one endpoint.

    token: asked for before each request, so that it may be renewed; None asks without one.
    seconds: the longest wait for an answer. sleep: between two tries.
    Every method raises ``ApiError`` when the API refuses, ``NoAccess`` on 401 and 403, and ``Unreachable`` when
    nothing that is the API answers.
    """

    def __init__(
        self,
        endpoint: str,
        token: Callable[[], str] | None,
        *,
        seconds: float = LONGEST_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.endpoint = checked_endpoint(endpoint)
        self._token, self._sleep = token, sleep
        local = urlsplit(self.endpoint).hostname in _LOOPBACK
        plain = self.endpoint.startswith("http:")
        self._http = httpx.Client(
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            headers={"Accept": "application/json", "User-Agent": "elastic-jobs-cli"},
            # Plain http needs no roots, and loading them takes longer than a request.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else httpx.create_ssl_context(),
            trust_env=not local,  # no proxy stands between a machine and itself
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """One resource. Query values that are None are left out; ``$top`` and such go as ``**{"$top": 5}``."""
        return self._json(self._send("GET", PREFIX + path, query=query))

    def agent(self) -> dict[str, Any] | None:
        """The agent, None while there is none."""
        try:
            return self.get("")
        except ApiError as error:
            if error.code != "JobAgentNotFound":
                raise
            return None

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page as they are asked for."""
        given = dict(query)
        while True:
            page = self._json(self._send("GET", PREFIX + path, query=given))
            yield from page.get("value", [])
            link = page.get("nextLink")
            if not link:
                return
            # Its query only: a token is not carried to whatever host an answer names.
            following = dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))
            if following == given:
                raise Unreachable(f"{self.endpoint} answers the same page of {path} again and again; try later.")
            given = following

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create or replace; the resource as it is now."""
        return self._json(self._finish(self._send("PUT", PREFIX + path, body=body), path))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a part; the resource as it is now."""
        return self._json(self._finish(self._send("PATCH", PREFIX + path, body=body), path))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do something; the answer, empty when there is none. Sent again after a busy answer, it counts once."""
        return self._json(self._finish(self._send("POST", PREFIX + path, body=body), path))

    def delete(self, path: str, **query: Any) -> None:
        """Delete; also what is not there is gone afterwards."""
        self._finish(self._send("DELETE", PREFIX + path, query=query), path)

    def outside(self, path: str) -> tuple[dict[str, Any], httpx.Response]:
        """GET outside the agent, such as ``/health``: the body, and the answer for its headers."""
        answer = self._send("GET", path)
        return self._json(answer), answer

    def _send(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        # One id for all tries: by it the API knows a start that it has already made.
        headers = {"x-ms-client-request-id": str(uuid4())}
        for attempt in range(1, _TRIES + 1):
            answer = self._once(method, path, query or {}, body, headers)
            if answer.status_code not in _BUSY or attempt == _TRIES:
                break
            self._sleep(_pause(answer, attempt))
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        params = httpx.QueryParams(
            [
                (key, _text(each))
                for key, value in query.items()
                if value is not None
                for each in (value if isinstance(value, (list, tuple)) else [value])
            ]
        )
        try:
            return self._http.request(
                method,
                f"{self.endpoint}{path}",
                params=params,
                json=body,
                headers=headers if self._token is None else {**headers, "Authorization": f"Bearer {self._token()}"},
            )
        except httpx.TransportError as error:
            raise Unreachable(self._trouble(error)) from error
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise Unreachable(f"{self.endpoint} cannot be asked: {error}.") from error

    def _trouble(self, error: httpx.TransportError) -> str:
        said = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return (
                f"{self.endpoint} shows a certificate that cannot be verified ({said}); check the endpoint's name. "
                "For a certificate authority of your own, name its file in SSL_CERT_FILE."
            )
        if isinstance(error, httpx.ConnectTimeout):
            return f"{self.endpoint} does not answer within {_CONNECT_SECONDS:g} s; check the endpoint and the network."
        if isinstance(error, httpx.TimeoutException):
            return f"{self.endpoint} did not answer in time; try again, and see the log of the app."
        if isinstance(error, httpx.ConnectError):
            return f"{self.endpoint} cannot be reached ({said}); check the endpoint, the network and whether it runs."
        return f"The connection to {self.endpoint} broke ({said}); try again."

    def _refusal(self, answer: httpx.Response) -> ApiError | NoAccess | Unreachable:
        status = answer.status_code
        try:
            error = answer.json()["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            if status in {401, 403}:
                return NoAccess(
                    f"{self.endpoint} refuses access before the management API is asked (HTTP {status}); look at the "
                    "app's own authentication and network rules.",
                    status=status,
                )
            return Unreachable(
                f"{self.endpoint} answers HTTP {status}, and not as the management API does; check the endpoint."
            )
        if status == 401:
            return NoAccess(
                f"{self.endpoint} does not accept the token: {message} Sign in anew with 'elastic-jobs login'.",
                status=status,
                code=code,
            )
        if status == 403:
            return NoAccess(message, status=status, code=code)
        return ApiError(status, code, message)

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        if not answer.content.strip():
            return {}
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable(f"{self.endpoint} does not answer as the management API does; check the endpoint.")
        return found

    def _finish(self, answer: httpx.Response, path: str) -> httpx.Response:
        """Wait for a long-running operation; its result."""
        while answer.status_code == 202:
            state, location = answer.headers.get("Azure-AsyncOperation"), answer.headers.get("Location")
            if state:
                self._await_success(state, answer)
                return self._follow(location) if location else self._send("GET", PREFIX + path)
            if not location:
                return answer
            self._sleep(_pause(answer, 1))
            answer = self._follow(location)  # it answers 202 itself until the work is done
        return answer

    def _await_success(self, state: str, answer: httpx.Response) -> None:
        """Ask for the state of an operation until it has succeeded. answer: says when to ask first."""
        while True:
            self._sleep(_pause(answer, 1))
            answer = self._follow(state)
            found = self._json(answer)
            if found.get("status") == "Succeeded":
                return
            if found.get("status") in {"Failed", "Canceled"}:
                said = found.get("error") or {}
                raise ApiError(400, str(said.get("code", "")), str(said.get("message", "The operation failed.")))

    def _follow(self, url: str) -> httpx.Response:
        # On our own endpoint: the token goes nowhere else.
        parts = urlsplit(url)
        return self._send("GET", parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pause(answer: httpx.Response, attempt: int) -> float:
    """Seconds until the next try: what the answer says, else 1, 2, 4 s."""
    try:
        wanted = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        wanted = float(2 ** (attempt - 1))
    return min(max(wanted, 0.1), _LONGEST_PAUSE)
