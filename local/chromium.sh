#!/bin/sh
# The tests of the portal and its pictures use the distribution's Chromium. Does nothing when there is one.
# Debian has one without windows, which is smaller and quicker; other distributions do not.
# Without root it only says what to run: the tests that need a browser are then skipped, and fail under CI.
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
install_one() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" fonts-dejavu-core; }
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Chromium from the distribution (once) ..."
    { apt-get update -qq && { install_one chromium-headless-shell 2>/dev/null || install_one chromium; }; } >/dev/null ||
        echo "Chromium could not be installed; run: apt-get install chromium" >&2
elif command -v apt-get >/dev/null; then
    echo "Chromium is missing, so the tests of the portal in a browser are skipped; run: sudo apt-get install chromium" >&2
else
    echo "Chromium is missing, so the tests of the portal in a browser are skipped; install it or Chrome" >&2
fi
