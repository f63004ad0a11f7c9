"""Hook of azd after the app was deployed: the same package for the second region, when there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which

ROOT = Path(__file__).resolve().parents[2]


def main(env: Mapping[str, str]) -> int:
    """Exit code 0 when done or nothing to do, otherwise that of the deployment, or 1 with a sentence."""
    app = env.get("SECOND_FUNCTION_APP_NAME", "")
    if not app:
        return 0
    func = which("func", path=env.get("PATH", ""))
    if func is None:
        sys.stderr.write(
            "Azure Functions Core Tools (func) were not found, and azd deploys to one app only. Install them, then run:"
            f" func azure functionapp publish {app} --python --build remote\n"
        )
        return 1
    command = [func, "azure", "functionapp", "publish", app, "--python", "--build", "remote"]
    return subprocess.run(command, cwd=ROOT, env=dict(env), check=False).returncode  # noqa: S603 - constant words and a name


if __name__ == "__main__":
    sys.exit(main(os.environ))
