#!/bin/sh
# Makes everything that a machine at the edge needs beside Node, as one file that installs without a network:
#
#   deploy/bundle.sh [FOLDER]
#
# in a checkout that is built (npm run build). Writes ooo-edge-VERSION.tar.gz to FOLDER, by default here.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
target=$(CDPATH='' cd -- "${1:-.}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

version=$(node -p 'require(process.argv[1]).version' "$here/../package.json")
bundle=$work/ooo-edge-$version
mkdir -p "$bundle/systemd" "$work/packed"
(cd "$here/.." && npm pack --ignore-scripts --silent --pack-destination "$work/packed" >/dev/null)
tar -xzf "$work/packed/ooo-cluster-$version.tgz" -C "$work"
# The versions that the lock file names, without those for developers.
cp "$here/../package-lock.json" "$work/package/"
(cd "$work/package" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --prefer-offline --silent)
tar -czf "$bundle/ooo-cluster-$version.tgz" -C "$work" package
cp "$here/install.sh" "$here/edge.yaml" "$here/../docs/edge.md" "$bundle/"
cp "$here/systemd/ooo.service" "$bundle/systemd/"
tar -czf "$target/ooo-edge-$version.tar.gz" -C "$work" "ooo-edge-$version"
printf '%s\n' "$target/ooo-edge-$version.tar.gz"
