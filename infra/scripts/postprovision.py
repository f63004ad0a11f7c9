"""Hook of azd after the resources are there: the job database gets its schema, and the app's identity its user in it.

Outputs of main.bicep are read from the environment, as azd gives them to hooks. OPEN_JOB_SERVER=false forbids opening
the job database's server to this machine meanwhile; then run the hook from inside the virtual network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from access import Refusal, run_with_access  # noqa: E402 - beside this file, wherever it is started from
from arm import Arm, DeployError  # noqa: E402

DRIVER = "mssql-python-odbc>=18.6,<19"
NEEDED = (
    "AZURE_SUBSCRIPTION_ID",
    "JOB_SERVER_RESOURCE_GROUP",
    "JOB_SERVER_NAME",
    "JOB_DATABASE_HOST",
    "JOB_DATABASE_NAME",
    "APP_IDENTITY_NAME",
    "APP_IDENTITY_CLIENT_ID",
)
"""Outputs of main.bicep, and what azd itself sets."""


def tools(folder: Path) -> Path:
    """The Python of an environment with the app's packages and Microsoft's driver, made when it is not there yet.

    Raises:
        DeployError: a package could not be installed, or a system library is missing.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / ".ready"
    wanted = (ROOT / "requirements.txt").read_text(encoding="utf-8") + DRIVER
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        _say(f"Installing the app's packages into {folder} (once) ...")
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*install, "-r", str(ROOT / "requirements.txt"), DRIVER], check=False).returncode != 0:  # noqa: S603
            raise DeployError("The app's packages could not be installed; the lines above tell why.")
        if subprocess.run([python, "-c", "import pyodbc"], check=False).returncode != 0:  # noqa: S603
            raise DeployError("unixODBC is missing on this machine; install it (apt-get install unixodbc), try again.")
        ready.write_text(wanted, encoding="utf-8")
    return python


def prepare_database(python: Path, env: Mapping[str, str]) -> Refusal | None:
    """Schema and user of the job database; the refusal when its server did not let this machine in.

    Raises:
        DeployError: the work failed.
    """
    command = [str(python), str(HERE / "database.py"), "job"]
    answer = subprocess.run(command, env=dict(env), stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    lines = answer.stdout.strip().splitlines()
    if answer.returncode != 0 or not lines:
        raise DeployError("The job database could not be prepared; the lines above tell why.")
    told = json.loads(lines[-1])
    return Refusal(number=told["number"], address=told["address"], text=told["text"]) if told else None


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def prepare(arm: Arm, env: Mapping[str, str], tools_folder: Path) -> None:
    """Schema and user of the job database. Raises ``DeployError``."""
    missing = [name for name in NEEDED if not env.get(name)]
    if missing:
        raise DeployError(f"{', '.join(missing)} not set; run this as a hook of azd: azd hooks run postprovision")
    groups = f"/subscriptions/{env['AZURE_SUBSCRIPTION_ID']}/resourceGroups"
    group, name = env["JOB_SERVER_RESOURCE_GROUP"], env["JOB_SERVER_NAME"]
    server = f"{groups}/{group}/providers/Microsoft.Sql/servers/{name}"
    python = tools(tools_folder)
    may_open = env.get("OPEN_JOB_SERVER", "true").lower() != "false"
    run_with_access(arm, server, lambda: prepare_database(python, env), may_open=may_open)
    _say("The job database is ready.")


def main(env: Mapping[str, str]) -> int:
    """Exit code 0 when done, 1 with a sentence when not."""
    try:
        prepare(Arm(), env, ROOT / ".azure" / "tools")
    except DeployError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
