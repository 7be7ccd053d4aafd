#!/bin/sh
# Installs, upgrades and removes a node on a machine with systemd. Run as root:
#
#   ./install.sh install [--tarball FILE] [--node FILE] [--no-start]
#   ./install.sh uninstall [--purge]
#
# The tarball is one of `npm pack`, or of `deploy/bundle.sh`, which needs no network. Default: the one
# beside this script. Installing again upgrades in place; data and settings stay. A release that does not
# start gives way to the one that ran before it. Uninstalling keeps data and settings too, unless --purge is
# given. --root DIR puts everything below a folder, to look at it.
set -eu

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}
# The lines at the top of this file.
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
action=${1:-}
[ $# -gt 0 ] && shift
tarball='' node='' root='' start=yes purge=no
while [ $# -gt 0 ]; do
  case $1 in
    --tarball | --node | --root)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --tarball) tarball=$2 ;;
        --node) node=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift 2
      ;;
    --no-start) start=no && shift ;;
    --purge) purge=yes && shift ;;
    *) fail "$1: not understood" ;;
  esac
done

app=$root/opt/ooo-cluster
config=$root/etc/ooo
unit=$root/etc/systemd/system/ooo.service
command=$root/usr/local/bin/ooo
before='' again=no

# Below another root nothing is started.
has_systemd() {
  [ -z "$root" ] && [ -d /run/systemd/system ]
}

need_root() {
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "needs root: sudo $0 $action"
}

find_node() {
  [ -n "$node" ] || node=$(command -v node || true)
  [ -n "$node" ] || fail "Node is not on root's PATH ($PATH); install Node 20.19 or newer, or name it with --node"
  [ -x "$node" ] || fail "$node can not be run"
  case $node in
    /*) ;;
    *) node=$(CDPATH='' cd -- "$(dirname -- "$node")" && pwd)/$(basename -- "$node") ;;
  esac
  if has_systemd; then
    case $(readlink -f "$node") in
      /home/* | /root/*) fail "the service can not see $node: install Node for all users, or name one with --node" ;;
    esac
  fi
  "$node" -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)
  ' || fail "$node is Node $("$node" --version), this needs 20.19 or newer"
}

# The service's folder is a link, which nothing can be mounted at.
check_disk() {
  if has_systemd && grep -q ' /var/lib/ooo ' /proc/mounts; then
    fail 'a disk is mounted at /var/lib/ooo; mount it at /var/lib/private/ooo, as edge.md says'
  fi
}

find_tarball() {
  if [ -z "$tarball" ]; then
    for file in "$here"/ooo-cluster-*.tgz; do
      [ -e "$file" ] || continue
      [ -z "$tarball" ] || fail "more than one tarball in $here; name one with --tarball"
      tarball=$file
    done
  fi
  [ -n "$tarball" ] || fail "no ooo-cluster-*.tgz in $here; name one with --tarball"
  [ -f "$tarball" ] || fail "$tarball: not there"
}

# Unpacks the release to a folder of its own and tries it before anything else is touched.
unpack() {
  mkdir -p "$app/releases"
  new=$(mktemp -d "$app/releases/new.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  if ! said=$(tar -xzf "$tarball" -C "$new" --strip-components=1 --no-same-owner 2>&1); then
    # It names every file: one is enough.
    fail "$tarball can not be unpacked to $app; nothing was changed; $(printf '%s\n' "$said" | head -n 1)"
  fi
  [ -f "$new/dist/cli/main.js" ] || fail "$tarball holds no dist/cli/main.js"
  if [ ! -d "$new/node_modules" ]; then
    command -v npm >/dev/null || fail 'npm is not on PATH; use a tarball of deploy/bundle.sh, which needs none'
    (cd "$new" && npm install --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --silent)
  fi
  # The service's user only reads.
  chmod -R u=rwX,go=rX "$new"
  version=$("$node" "$new/dist/cli/main.js" --version) || fail "the release does not run with $node"
  "$node" -e 'import(process.argv[1])' "$new/dist/storage-adapters/leveldb/leveldb.js" ||
    fail 'the storage of the release can not be loaded on this machine'
  # What the service is started by belongs to the release.
  unit_text >"$new/ooo.service"
  command_text >"$new/ooo"
}

unit_text() {
  sed -e "s|@NODE@|$node|g" -e "s|@APP@|$app/current|g" -e "s|@CONFIG@|$config|g" "$here/systemd/ooo.service"
}

command_text() {
  printf '#!/bin/sh\nexec "%s" "%s/current/dist/cli/main.js" "$@"\n' "$node" "$app"
}

# Settings that are there are nobody's but the owner's.
settings() {
  mkdir -p "$config"
  [ -e "$config/edge.yaml" ] || install -m 0644 "$here/edge.yaml" "$config/edge.yaml"
  if [ ! -e "$config/environment" ]; then
    (umask 077 && say '# OOO_CLUSTER_TOKEN=the secret of the cluster' >"$config/environment")
  fi
}

# Puts the release in its place; the one before it is kept.
keep() {
  name=$version-$(date -u +%Y%m%d%H%M%S)-$$
  mv "$new" "$app/releases/$name"
  trap - EXIT
  before=$(readlink "$app/current" 2>/dev/null || true)
  for old in "$app"/releases/*; do
    case $old in
      "$app/releases/$name" | "$app/${before:-none}") ;;
      *) rm -rf "$old" ;;
    esac
  done
}

# use RELEASE: it becomes the one in use, in one step, and the service is started by its unit.
use() {
  mkdir -p "$(dirname "$unit")" "$(dirname "$command")"
  install -m 0644 "$app/$1/ooo.service" "$unit.new"
  install -m 0755 "$app/$1/ooo" "$command.new"
  ln -sfn "$1" "$app/current.new"
  mv -T "$app/current.new" "$app/current"
  mv "$unit.new" "$unit"
  mv "$command.new" "$command"
  if has_systemd; then systemctl daemon-reload; fi
}

# Starts the service; says what it said when it does not start. After an upgrade the release that ran
# before comes back: nobody may be there to do it by hand.
start_service() {
  began=$(date +%s)
  if systemctl restart ooo.service 2>/dev/null; then
    say 'started: systemctl status ooo; ooo status'
    return
  fi
  say "ooo-cluster $version does not start:" >&2
  journalctl --sync 2>/dev/null || true
  journalctl --unit ooo.service --since "@$began" --no-pager --quiet --lines 10 >&2 || true
  if [ "$again" = no ] || [ ! -e "$app/$before/ooo.service" ]; then
    fail "after a change of $config/edge.yaml or $config/environment: systemctl restart ooo"
  fi
  use "$before"
  systemctl restart ooo.service || fail "the release before, $before, does not start any more either: journalctl -u ooo"
  fail "the release before runs again: $before"
}

do_install() {
  need_root
  find_node
  check_disk
  find_tarball
  unpack
  settings
  keep
  if has_systemd && systemctl is-active --quiet ooo.service; then again=yes; fi
  use "releases/$name"
  say "ooo-cluster $version is in $app/current"
  say "settings: $config/edge.yaml and $config/environment; after a change: systemctl restart ooo"
  if has_systemd; then
    systemctl enable --quiet ooo.service
    if [ "$start" = yes ]; then
      start_service
    elif [ "$again" = yes ]; then
      say 'the release before still runs: systemctl restart ooo'
    else
      say 'not started: systemctl start ooo'
    fi
  elif [ -z "$root" ]; then
    say "no systemd runs here; the node is started by: ooo serve --config $config/edge.yaml --data /var/lib/ooo"
  fi
}

do_uninstall() {
  need_root
  if has_systemd && [ -e "$unit" ]; then
    systemctl disable --now --quiet ooo.service || true
  fi
  rm -rf "$app" "$unit" "$command"
  [ "$purge" = no ] || rm -rf "$unit.d"
  if has_systemd; then
    systemctl daemon-reload
    systemctl reset-failed ooo.service 2>/dev/null || true
  fi
  if [ "$purge" = yes ]; then
    # With DynamicUser the folder is a link into `private`, where a disk of its own may be mounted.
    for folder in "$config" "$root/var/lib/ooo" "$root/var/lib/private/ooo"; do
      rm -rf "$folder" 2>/dev/null || [ -z "$(ls -A "$folder")" ] || fail "$folder can not be removed"
    done
    say 'removed, with its data and settings'
  else
    say "removed; kept: $root/var/lib/ooo and $config"
  fi
}

case $action in
  install) do_install ;;
  uninstall) do_uninstall ;;
  help | --help | -h) usage ;;
  *) fail 'say install or uninstall; --help tells more' ;;
esac
