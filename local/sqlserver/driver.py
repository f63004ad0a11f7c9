"""Where the Microsoft ODBC driver is: installed on the system, or in the package ``mssql-python-odbc``."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import pyodbc

SYSTEM_DRIVER = "ODBC Driver 18 for SQL Server"


def odbc_driver() -> str:
    """The value for ``Driver=``: a name in braces or a path. FileNotFoundError when there is no driver."""
    if SYSTEM_DRIVER in pyodbc.drivers():
        return f"{{{SYSTEM_DRIVER}}}"
    package = importlib.util.find_spec("mssql_python_odbc")
    if package is not None and package.origin:
        machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        folder = Path(package.origin).parent / "libs" / "linux" / "debian_ubuntu" / machine / "lib"
        found = sorted(folder.glob("libmsodbcsql-18*.so*"))
        if found:
            return str(found[-1])
    raise FileNotFoundError(
        f"There is no '{SYSTEM_DRIVER}' on this machine: install it, or the Python package mssql-python-odbc."
    )
