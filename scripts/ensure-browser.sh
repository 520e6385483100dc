#!/bin/sh
# Have a headless browser, if that is possible here; says what it does. Always succeeds, unless
# STOP_TEST_REQUIRE_BROWSER=1 demands a browser. STOP_TEST_BROWSER names one (a Chromium).
set -u

found() {
    for name in "${STOP_TEST_BROWSER:-}" chromium-headless-shell chromium chromium-browser google-chrome; do
        [ -n "$name" ] && command -v "$name" && return 0
    done
    return 1
}

give_up() {
    echo "browser: $1"
    [ "${STOP_TEST_REQUIRE_BROWSER:-0}" = 1 ] && exit 1
    echo "browser: tests of the report in a browser will be skipped"
    exit 0
}

path=$(found) && { echo "browser: $path"; exit 0; }
[ "${STOP_INSTALL_BROWSER:-1}" = 0 ] && give_up "none here, and STOP_INSTALL_BROWSER=0 forbids installing one"
[ "$(id -u)" = 0 ] || give_up "none here, and only root can install one"
command -v apt-get >/dev/null 2>&1 || give_up "none here, and this is not a Debian-like machine"
echo "browser: none here; installing Chromium and a font (STOP_INSTALL_BROWSER=0 forbids it)"
log=$(mktemp)
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1" fonts-dejavu-core
}
{ apt-get update && { install chromium-headless-shell || install chromium; }; } >"$log" 2>&1 \
    || { tail -5 "$log"; give_up "it could not be installed"; }
path=$(found) && { echo "browser: $path"; exit 0; }
give_up "it was installed, and is not to be found"
