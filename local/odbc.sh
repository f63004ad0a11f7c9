#!/bin/sh
# pyodbc's wheel needs unixODBC's driver manager (libodbc.so.2) from the system; Microsoft's driver itself comes with pip.
# Usage: odbc.sh PYTHON. Does nothing when pyodbc can be imported already.
python=$1
if "$python" -c 'import pyodbc' 2>/dev/null; then
    exit 0
fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing unixODBC from the distribution (once) ..."
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends unixodbc; } >/dev/null ||
        { echo "unixODBC could not be installed; run: apt-get install unixodbc" >&2; exit 1; }
elif command -v apt-get >/dev/null; then
    echo "unixODBC is missing; run: sudo apt-get install unixodbc, then the same make command again" >&2
    exit 1
elif command -v brew >/dev/null; then
    echo "unixODBC is missing; run: brew install unixodbc, then the same make command again" >&2
    exit 1
else
    echo "unixODBC (libodbc.so.2) is missing; install it with the system's package manager" >&2
    exit 1
fi
"$python" -c 'import pyodbc' || { echo "pyodbc still cannot be imported after unixODBC was installed" >&2; exit 1; }
