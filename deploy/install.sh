#!/bin/sh
# Installs, upgrades and removes a node on a machine with systemd. Run as root:
#
#   ./install.sh install [--tarball FILE] [--node FILE] [--no-start]
#   ./install.sh uninstall [--purge]
#
# The tarball is one of `npm pack`, or of `deploy/bundle.sh`, which needs no network. Default: the one
# beside this script. Installing again upgrades in place; data and settings stay. Uninstalling keeps data
# and settings too, unless --purge is given. --root DIR puts everything below a folder, to look at it.
set -eu

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

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

# Below another root nothing is started.
has_systemd() {
  [ -z "$root" ] && [ -d /run/systemd/system ]
}

find_node() {
  [ -n "$node" ] || node=$(command -v node || true)
  [ -n "$node" ] || fail 'Node is not on PATH; install it, or name it with --node'
  [ -x "$node" ] || fail "$node can not be run"
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
  tar -xzf "$tarball" -C "$new" --strip-components=1 --no-same-owner
  [ -f "$new/dist/cli/main.js" ] || fail "$tarball holds no dist/cli/main.js"
  if [ ! -d "$new/node_modules" ]; then
    command -v npm >/dev/null || fail 'npm is not on PATH; use a tarball of deploy/bundle.sh, which needs none'
    (cd "$new" && npm install --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --silent)
  fi
  # The service's user only reads.
  chmod -R u=rwX,go=rX "$new"
  version=$("$node" "$new/dist/cli/main.js" --version) || fail "the release does not run with $node"
  "$node" -e 'import(process.argv[1])' "$new/dist/storage-adapters/leveldb.js" ||
    fail 'the storage of the release can not be loaded on this machine'
}

# The release in use changes in one step; the one before it is kept.
switch() {
  name=$version-$(date -u +%Y%m%d%H%M%S)-$$
  mv "$new" "$app/releases/$name"
  trap - EXIT
  before=$(readlink "$app/current" 2>/dev/null || true)
  ln -s "releases/$name" "$app/current.new"
  mv -T "$app/current.new" "$app/current"
  for old in "$app"/releases/*; do
    case $old in
      "$app/releases/$name" | "$app/${before:-none}") ;;
      *) rm -rf "$old" ;;
    esac
  done
}

# Settings that are there are nobody's but the owner's.
settings() {
  mkdir -p "$config"
  [ -e "$config/edge.yaml" ] || install -m 0644 "$here/edge.yaml" "$config/edge.yaml"
  if [ ! -e "$config/environment" ]; then
    (umask 077 && say '# OOO_CLUSTER_TOKEN=the secret of the cluster' >"$config/environment")
  fi
}

service() {
  mkdir -p "$(dirname "$unit")" "$(dirname "$command")"
  sed -e "s|@NODE@|$node|g" -e "s|@APP@|$app/current|g" -e "s|@CONFIG@|$config|g" \
    "$here/systemd/ooo.service" >"$unit.new"
  mv "$unit.new" "$unit"
  printf '#!/bin/sh\nexec "%s" "%s/current/dist/cli/main.js" "$@"\n' "$node" "$app" >"$command.new"
  chmod 0755 "$command.new"
  mv "$command.new" "$command"
}

do_install() {
  find_node
  find_tarball
  unpack
  settings
  switch
  service
  say "ooo-cluster $version is in $app/current"
  if has_systemd; then
    systemctl daemon-reload
    systemctl enable --quiet ooo.service
    if [ "$start" = yes ]; then
      systemctl restart ooo.service
      say 'started: systemctl status ooo'
    fi
  fi
  say "settings: $config/edge.yaml and $config/environment; after a change: systemctl restart ooo"
}

do_uninstall() {
  if has_systemd && [ -e "$unit" ]; then
    systemctl disable --now --quiet ooo.service || true
  fi
  rm -rf "$app" "$unit" "$command"
  if has_systemd; then systemctl daemon-reload; fi
  if [ "$purge" = yes ]; then
    # With DynamicUser the folder is a link into `private`.
    rm -rf "$config" "$root/var/lib/ooo" "$root/var/lib/private/ooo"
    say 'removed, with its data and settings'
  else
    say "removed; kept: $root/var/lib/ooo and $config"
  fi
}

case $action in
  install) do_install ;;
  uninstall) do_uninstall ;;
  *) fail 'say install or uninstall' ;;
esac
