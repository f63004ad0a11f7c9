"""Brings the private endpoints in Azure in line with the wishes in the job database, and notes their approval."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from elastic_jobs.azure.network import EndpointState, PrivateEndpointError, PrivateEndpointNetwork
from elastic_jobs.errors import JobDatabaseUnavailableError, NotFoundError
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions.checks import Edit
from elastic_jobs.jobdb.definitions.private_endpoints import (
    ConnectionStatus,
    PrivateEndpoint,
    get_private_endpoint,
    list_private_endpoints,
    set_connection,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What was done, by the names of the wishes; ``deleted`` by the names in Azure. ``failures``: sentences."""

    created: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class PrivateEndpoints:
    """The wishes of the job database, carried out in Azure. May run at any time, and many times at once."""

    def __init__(self, database: JobDatabase, network: PrivateEndpointNetwork, edit: Callable[[], Edit]) -> None:
        """edit: who is noted as the one who changed an approval, and when."""
        self._database, self._network, self._edit = database, network, edit

    def align(self) -> Alignment:
        """Create what is wished for and not there, note approvals, delete what nobody wishes for any more.

        One that fails does not hold up the others.

        Raises:
            PrivateEndpointError: the endpoints in Azure cannot be listed.
            JobDatabaseUnavailableError: the job database does not answer.
        """
        # Azure first: a wish that comes in between is then not mistaken for one that was taken back.
        there = {state.name.casefold(): state for state in self._network.list()}
        with self._database.read() as connection:
            wishes = list_private_endpoints(connection)
        created, noted, deleted, failures = [], [], [], []
        for wish in wishes:
            try:
                state = there.pop(wish.private_endpoint_id.casefold(), None)
                if state is None:
                    state = self._create(wish)
                    created.append(wish.name)
                if self._note(wish, state):
                    noted.append(wish.name)
            except PrivateEndpointError as error:
                failures.append(str(error))
        for state in there.values():
            try:
                if self._network.delete(state.name):
                    deleted.append(state.name)
            except PrivateEndpointError as error:
                failures.append(str(error))
        return Alignment(created=tuple(created), noted=tuple(noted), deleted=tuple(deleted), failures=tuple(failures))

    def try_align(self) -> Alignment | None:
        """As ``align``, for callers who can do without: what fails is logged, and the next call tries again."""
        try:
            result = self.align()
        except (PrivateEndpointError, JobDatabaseUnavailableError) as error:
            _log.warning("%s", error, extra={"action": "endpoints_not_aligned"})
            return None
        for failure in result.failures:
            _log.warning("%s", failure, extra={"action": "endpoint_not_aligned"})
        return result

    def ensure(self, name: str) -> PrivateEndpoint:
        """One wish with its approval as it is now; created in Azure when it is not there.

        Raises:
            NotFoundError: there is no such private endpoint.
            PrivateEndpointError: the network API refuses or does not answer.
        """
        wish = self._wish(name)
        self._note(wish, self._network.find(wish.private_endpoint_id) or self._create(wish))
        return self._wish(name)

    def refresh(self, name: str) -> None:
        """Note the approval of one wish. For those who only look: nothing is changed in Azure.

        Raises:
            NotFoundError: there is no such private endpoint.
            PrivateEndpointError: the network API refuses or does not answer.
        """
        wish = self._wish(name)
        state = self._network.find(wish.private_endpoint_id)
        if state is not None:
            self._note(wish, state)

    def try_refresh_all(self) -> None:
        """As ``refresh`` for every wish, for callers who can do without: what fails is logged."""
        try:
            there = {state.name.casefold(): state for state in self._network.list()}
        except PrivateEndpointError as error:
            _log.warning("%s", error, extra={"action": "endpoints_not_refreshed"})
            return
        with self._database.read() as connection:
            wishes = list_private_endpoints(connection)
        for wish in wishes:
            state = there.get(wish.private_endpoint_id.casefold())
            if state is not None:
                self._note(wish, state)

    def _wish(self, name: str) -> PrivateEndpoint:
        with self._database.read() as connection:
            return get_private_endpoint(connection, name)

    def _create(self, wish: PrivateEndpoint) -> EndpointState:
        message = f"Elastic jobs: endpoint '{wish.name}' to server '{wish.target_server_name}'."
        return self._network.create(wish.private_endpoint_id, wish.target_server_id, message)

    def _note(self, wish: PrivateEndpoint, state: EndpointState) -> bool:
        """Whether there was news."""
        known = {status.value.casefold(): status for status in ConnectionStatus}
        status = known.get(state.status.casefold(), ConnectionStatus.PENDING)
        if (status, state.description) == (wish.status, wish.description) or (
            status is wish.status and not state.description
        ):
            return False
        try:
            with self._database.write() as connection:
                set_connection(connection, self._edit(), wish.name, status, state.description)
        except NotFoundError:
            return False  # the wish was taken back meanwhile
        return True
