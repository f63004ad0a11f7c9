#!/bin/sh
# Installs what the peers of the fan-out benchmark need: redis-server and PostgreSQL, on Debian and Ubuntu, as root.
# Nothing is left running: the benchmark starts its own on free ports in a temporary folder.
set -eu

if command -v redis-server >/dev/null && { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }; then
    exit 0
fi
command -v apt-get >/dev/null || {
    echo "redis-server and PostgreSQL are needed for the peers; install them with this system's package manager." >&2
    exit 1
}
if [ "$(id -u)" -ne 0 ]; then
    echo "redis-server and PostgreSQL are needed for the peers; run as root: sh bench/servers.sh" >&2
    exit 1
fi
# Neither may start a server of its own: a policy that forbids it for the time of the installation.
policy=/usr/sbin/policy-rc.d
made=
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=1; }
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server postgresql >/dev/null
