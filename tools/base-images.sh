#!/usr/bin/env bash
# Gets the images that the node's image and its tests are built on. Each that is not there is pulled;
# where no registry is in reach, a stand-in under the same tag is made from Debian packages and, for
# Node.js, the npm package of its binary: the programs as this Debian release has them, without a
# package manager. Stand-ins are for builds and tests on such machines, and carry the label
# `stand-in=true`. Run again it does nothing. Needs Docker; for stand-ins also Debian and root.
# The fourth is a machine with systemd, on which the tests install a node: built from
# test/edge/Dockerfile, or made in the same way.
#   tools/base-images.sh [node] [redis] [postgres] [systemd]        default: all of them
set -euo pipefail

# As deploy/Dockerfile, deploy/compose.yaml and test/support/services.ts name them.
readonly NODE_IMAGE=node:24-bookworm-slim REDIS_IMAGE=redis:8-alpine POSTGRES_IMAGE=postgres:17-alpine
# As test/edge/systemd.test.ts names it.
readonly SYSTEMD_IMAGE=ooo-cluster-systemd:test
readonly PULL_SECONDS=300
readonly USERLAND=(base-files dash coreutils libc-bin sed grep findutils hostname tzdata)
# Comes with the packages above and serves only to install and remove them, or is large and optional.
readonly LEFT_OUT='^(perl|libperl|dpkg|tar|debconf|usrmerge|adduser|passwd|libpam-|libsemanage|libsepol|libaudit-common|init-system-helpers|lib.*-perl|libgdbm|libdb5|libllvm|libz3|locales|libc-l10n|openssl|ssl-cert|ucf|sensible-utils|postgresql-common|postgresql-client-common|netbase|readline-common|sysvinit-utils|lsb-base)'

main() {
  local name work
  docker info >/dev/null 2>&1 || fail 'no container engine answers'
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$work'" EXIT
  [ $# -gt 0 ] || set -- node redis postgres systemd
  for name in "$@"; do
    case "$name" in
      node) provide "$NODE_IMAGE" make_node "$work/node" ;;
      redis) provide "$REDIS_IMAGE" make_redis "$work/redis" ;;
      postgres) provide "$POSTGRES_IMAGE" make_postgres "$work/postgres" ;;
      systemd) provide_systemd "$work/systemd" ;;
      *) fail "$name: not one of node, redis, postgres, systemd" ;;
    esac
  done
}

# provide IMAGE MAKER FOLDER
provide() {
  ! docker image inspect "$1" >/dev/null 2>&1 || return 0
  if timeout "$PULL_SECONDS" docker pull --quiet "$1" 2>/dev/null; then return 0; fi
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    fail "$1 can not be pulled, and making a stand-in needs Debian and root"
  fi
  echo "base-images: $1 can not be pulled; making a stand-in" >&2
  mkdir -p "$3/root"
  "$2" "$1" "$3"
  rm -rf "$3"
}

# provide_systemd FOLDER: built where the image of Node.js is the published one.
provide_systemd() {
  local here said
  ! docker image inspect "$SYSTEMD_IMAGE" >/dev/null 2>&1 || return 0
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  provide "$NODE_IMAGE" make_node "$1-node"
  if [ "$(docker image inspect --format '{{index .Config.Labels "stand-in"}}' "$NODE_IMAGE")" != true ]; then
    said=$(docker build --quiet --tag "$SYSTEMD_IMAGE" - <"$here/../test/edge/Dockerfile" 2>&1) || fail "$said"
    return 0
  fi
  mkdir -p "$1/root"
  make_systemd "$SYSTEMD_IMAGE" "$1"
}

make_systemd() {
  local root=$2/root
  unpack "$2" systemd mount util-linux libstdc++6 tar gzip
  chroot "$root" systemd-sysusers >/dev/null 2>&1 || fail 'systemd-sysusers failed'
  : >"$root/etc/machine-id"
  add_node "$2"
  import "$1" "$root"
}

make_node() {
  unpack "$2" libstdc++6
  add_user "$2/root" node 1000 /home/node
  add_node "$2"
  import "$1" "$2/root" 'CMD ["node"]'
}

# add_node FOLDER: Node.js into FOLDER/root
add_node() {
  local arch
  case "$(dpkg --print-architecture)" in
    amd64) arch=x64 ;;
    arm64) arch=arm64 ;;
    *) fail 'Node.js is packed for amd64 and arm64 only' ;;
  esac
  (cd "$1" && npm pack --silent "node-linux-$arch@24" >/dev/null)
  tar -xzf "$1"/node-linux-*.tgz -C "$1" package/bin/node
  install -D -m 755 "$1/package/bin/node" "$1/root/usr/local/bin/node"
}

make_redis() {
  local root=$2/root
  unpack "$2" redis-server
  add_user "$root" redis 999 /data
  # Without that Redis answers only its own machine; the published port is not that.
  write_entry "$root" <<'ENTRY'
#!/bin/sh
set -e
case "${1:-}" in
  '' | -*) set -- redis-server "$@" ;;
esac
case "$1" in
  redis-server) set -- "$@" --protected-mode no ;;
esac
exec "$@"
ENTRY
  import "$1" "$root" 'WORKDIR /data' 'VOLUME /data' 'USER redis' 'EXPOSE 6379' \
    'ENTRYPOINT ["/entry"]' 'CMD ["redis-server"]'
}

make_postgres() {
  local root=$2/root server
  server=$(apt-cache depends postgresql | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p' | head -n 1)
  unpack "$2" "$server"
  # Its compiler is left out; the server asks for it only when this file is there.
  rm -rf "$root"/usr/lib/postgresql/*/lib/{llvmjit.so,bitcode}
  add_user "$root" postgres 999 /var/lib/postgresql
  install -d -o 999 -g 999 "$root/var/lib/postgresql/data" "$root/run/postgresql"
  write_entry "$root" <<'ENTRY'
#!/bin/sh
# Prepares the database when the folder is empty, under the same variables and with the same lines
# in the log as the image it stands in for: the server starts once to prepare, then for good.
set -e
case "${1:-}" in
  '' | -*) set -- postgres "$@" ;;
esac
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo 'POSTGRES_PASSWORD is not set' >&2
    exit 1
  fi
  secret=/tmp/secret
  (umask 077 && printf '%s\n' "${POSTGRES_PASSWORD:-none}" >"$secret")
  initdb --username "$user" --pwfile "$secret" --encoding UTF8 --locale C.UTF-8 \
    --auth-local trust --auth-host "$method" >/dev/null
  rm "$secret"
  echo "host all all all $method" >>"$PGDATA/pg_hba.conf"
  pg_ctl --silent --wait -o "-c listen_addresses=''" start
  if [ "${POSTGRES_DB:-postgres}" != postgres ]; then
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | psql --quiet --username "$user" postgres
  fi
  pg_ctl --silent --wait --mode fast stop
fi
[ "$1" != postgres ] || set -- "$@" -c 'listen_addresses=*'
exec "$@"
ENTRY
  local programs
  programs=$(cd "$root" && echo usr/lib/postgresql/*/bin)
  import "$1" "$root" "ENV PATH=/$programs:/usr/local/bin:/usr/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8" \
    'VOLUME /var/lib/postgresql/data' 'USER postgres' 'EXPOSE 5432' \
    'ENTRYPOINT ["/entry"]' 'CMD ["postgres"]'
  # Asked with SIGTERM it would wait for its clients. An import can not say so.
  local said
  said=$(printf 'FROM %s\nSTOPSIGNAL SIGINT\n' "$1" | docker build --quiet --tag "$1" - 2>&1) || fail "$said"
}

# unpack FOLDER PACKAGE...: the packages and what they depend on, into FOLDER/root. Maintainer scripts
# do not run; what they would have done and is needed here is done by hand.
unpack() {
  local folder=$1 root=$1/root file names
  shift
  mkdir -p "$folder/debs" "$root"/usr/{bin,sbin,lib,lib64}
  : >"$folder/none"
  for file in bin sbin lib lib64; do ln -s "usr/$file" "$root/$file"; done
  find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | grep -q . || apt-get update -qq
  # What would be installed on a machine that has nothing.
  names=$(apt-get install --print-uris -y -qq --no-install-recommends \
    -o Dir::State::status="$folder/none" -o Dir::Cache::Archives="$folder" \
    "${USERLAND[@]}" "$@" | awk '{print $2}' | cut -d_ -f1 | grep -Ev "$LEFT_OUT")
  # What is asked for by name is not left out.
  names=$(printf '%s\n' "$names" "$@" | sort -u)
  # shellcheck disable=SC2086  # one word a name
  (cd "$folder/debs" && apt-get download -qq -o APT::Sandbox::User=root $names)
  for file in "$folder"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$file" | tar --keep-directory-symlink -xf - -C "$root"
  done
  ln -sf dash "$root/usr/bin/sh"
  rm -rf "$root"/usr/share/{doc,man,info,locale,lintian}
  mkdir -p "$root"/{tmp,etc,root,run,dev,proc,sys}
  chmod 1777 "$root/tmp"
  rm -rf "$root/var/run" && ln -s /run "$root/var/run"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
}

# add_user ROOT NAME ID HOME
add_user() {
  echo "$2:x:$3:$3::$4:/bin/sh" >>"$1/etc/passwd"
  echo "$2:x:$3:" >>"$1/etc/group"
  install -d -o "$3" -g "$3" "$1$4"
}

# write_entry ROOT <SCRIPT
write_entry() {
  cat >"$1/entry"
  chmod 755 "$1/entry"
}

# import IMAGE ROOT CHANGE...
import() {
  local image=$1 root=$2 change changes=(--change 'LABEL stand-in=true')
  shift 2
  for change in "$@"; do changes+=(--change "$change"); done
  tar --numeric-owner -C "$root" -cf - . | docker import "${changes[@]}" - "$image" >/dev/null
}

fail() {
  echo "base-images: $*" >&2
  exit 1
}

main "$@"
