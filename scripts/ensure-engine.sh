#!/bin/sh
# Have a container engine answer, if that is possible here; says what it does. Always succeeds,
# unless STOP_TEST_REQUIRE_ENGINE=1 demands an engine.
set -u

answers() {
    "$PYTHON" -c 'import docker; docker.from_env(timeout=5).ping()' 2>/dev/null
}

give_up() {
    echo "container engine: $1"
    [ "${STOP_TEST_REQUIRE_ENGINE:-0}" = 1 ] && exit 1
    echo "container engine: Docker tests will be skipped"
    exit 0
}

answers && { echo "container engine: answers"; exit 0; }
[ "${STOP_INSTALL_ENGINE:-1}" = 0 ] && give_up "none answers, and STOP_INSTALL_ENGINE=0 forbids installing one"
[ "$(id -u)" = 0 ] || give_up "none answers, and only root can install or start one"
if ! command -v dockerd >/dev/null 2>&1; then
    command -v apt-get >/dev/null 2>&1 || give_up "none answers, and this is not a Debian-like machine"
    echo "container engine: none here; installing docker.io (STOP_INSTALL_ENGINE=0 forbids it)"
    log=$(mktemp)
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io; } \
        >"$log" 2>&1 || { tail -5 "$log"; give_up "docker.io could not be installed"; }
fi
echo "container engine: starting dockerd (log: /var/log/stop-dockerd.log)"
# A daemon of its own session: it outlives this script; `pkill dockerd` ends it.
setsid nohup dockerd >/var/log/stop-dockerd.log 2>&1 </dev/null &
i=0
while [ $i -lt 60 ]; do
    answers && { echo "container engine: answers"; exit 0; }
    i=$((i + 1))
    sleep 0.5
done
tail -5 /var/log/stop-dockerd.log
give_up "dockerd did not come up"
