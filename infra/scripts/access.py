"""Access to the job database for one step of the deployment, from outside its virtual network.

The server takes no connection over the internet. Where the machine that deploys is inside the network, nothing is
changed. Elsewhere the server is opened for exactly this machine's address, for as long as the step takes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from arm import Arm, DeployError

TRIES = 30
"""How often the step is tried, 10 seconds apart: gateways need up to a few minutes to learn of a firewall rule."""
VERSION = "2023-08-01"
RULE = "elastic-jobs-deployment"
PUBLIC_ACCESS_DENIED = 47073
"""Azure SQL's error to a login when public network access is disabled."""
ADDRESS_NOT_ALLOWED = 40615
"""Azure SQL's error to a login from an address that no firewall rule has; its text names the address."""


@dataclass(frozen=True)
class Refusal:
    """Why the server did not let the step in.

    number: SQL Server's error; address: the client's, as the server saw it.
    """

    number: int
    address: str
    text: str


def run_with_access(arm: Arm, server: str, step: Callable[[], Refusal | None], *, may_open: bool) -> None:
    """Run a step that connects to the job database, and open the server for it when that is needed and allowed.

    Args:
        server: resource id of the logical server.
        step: does the work; returns the refusal when the server did not let it in, None when it is done.
        may_open: whether the server may be opened for this machine.

    Raises:
        DeployError: the server cannot be reached, or may not be opened.
    """
    opened: set[int] = set()
    with ExitStack() as undo:
        for _ in range(TRIES):
            refusal = step()
            if refusal is None:
                return
            if refusal.number not in {PUBLIC_ACCESS_DENIED, ADDRESS_NOT_ALLOWED}:
                raise DeployError(f"The job database cannot be opened: {refusal.text}")
            if not may_open:
                raise DeployError(
                    "The job database is closed to this machine, and OPEN_JOB_SERVER is false. Run this step from"
                    " inside the virtual network: azd hooks run postprovision"
                )
            if refusal.number in opened:
                arm.pause(10)  # the gateways do not know it yet
            else:
                opened.add(refusal.number)
                _open(arm, server, refusal, undo)
        raise DeployError("The job database stayed closed to this machine, though its server was opened; try again.")


def _open(arm: Arm, server: str, refusal: Refusal, undo: ExitStack) -> None:
    # What undoes it is registered first: what fails half-way is closed, too.
    if refusal.number == PUBLIC_ACCESS_DENIED:
        undo.callback(_set_public_access, arm, server, "Disabled")
        _set_public_access(arm, server, "Enabled")
    else:
        rule = f"{server}/firewallRules/{RULE}"
        undo.callback(arm.call, "DELETE", rule, VERSION)
        addresses = {"startIpAddress": refusal.address, "endIpAddress": refusal.address}
        arm.call("PUT", rule, VERSION, {"properties": addresses})


def _set_public_access(arm: Arm, server: str, state: str) -> None:
    arm.call("PATCH", server, VERSION, {"properties": {"publicNetworkAccess": state}})
    arm.wait(server, VERSION, lambda resource: resource["properties"]["publicNetworkAccess"] == state)
