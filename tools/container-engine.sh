#!/usr/bin/env bash
# A container engine for a machine without one: Debian's docker.io, run as root, everything it
# keeps below one folder.
#   tools/container-engine.sh start DIR   installs it when it is missing, starts it, and prints the
#                                         DOCKER_HOST to use; says so and fails where that can not be
#   tools/container-engine.sh stop DIR    ends it and removes what it kept
set -euo pipefail

readonly START_SECONDS=60 STOP_SECONDS=60

main() {
  local verb=${1:-} folder=${2:-}
  [ -n "$folder" ] || fail "usage: $0 start|stop DIR"
  case "$verb" in
    start) start "$folder" ;;
    stop) stop "$folder" ;;
    *) fail "usage: $0 start|stop DIR" ;;
  esac
}

start() {
  local folder=$1
  [ "$(id -u)" = 0 ] || fail 'starting a container engine needs root'
  command -v dockerd >/dev/null || install_engine
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  export DOCKER_HOST="unix://$folder/docker.sock"
  setsid dockerd --host "$DOCKER_HOST" --pidfile "$folder/dockerd.pid" \
    --data-root "$folder/data" --exec-root "$folder/run" \
    --log-level error >"$folder/dockerd.log" 2>&1 </dev/null &
  local pid=$! second
  for ((second = 0; second < START_SECONDS; second++)); do
    if docker info >/dev/null 2>&1; then
      echo "$DOCKER_HOST"
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 1
  done
  tail -n 20 "$folder/dockerd.log" >&2
  stop "$folder"
  fail "the container engine did not start within $START_SECONDS s"
}

stop() {
  local folder=$1 pid second
  pid=$(cat "$folder/dockerd.pid" 2>/dev/null || true)
  if [ -n "$pid" ] && kill "$pid" 2>/dev/null; then
    for ((second = 0; second < STOP_SECONDS; second++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 1
    done
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -rf "$folder"
}

install_engine() {
  command -v apt-get >/dev/null || fail 'no container engine, and no apt-get to install one with'
  export DEBIAN_FRONTEND=noninteractive
  {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends docker.io
  } >&2
}

fail() {
  echo "container-engine: $*" >&2
  exit 1
}

main "$@"
