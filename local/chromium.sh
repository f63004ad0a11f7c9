#!/bin/sh
# The tests of the portal and its pictures use the distribution's Chromium. Does nothing when there is one.
# Without root it only says what to run: the tests that need a browser are then skipped, and fail under CI.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium from the distribution (once) ..."
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null ||
        echo "Chromium could not be installed; run: apt-get install chromium" >&2
elif command -v apt-get >/dev/null; then
    echo "Chromium is missing, so the tests of the portal in a browser are skipped; run: sudo apt-get install chromium" >&2
else
    echo "Chromium is missing, so the tests of the portal in a browser are skipped; install it or Chrome" >&2
fi
