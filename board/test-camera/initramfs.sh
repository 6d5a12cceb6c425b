#!/usr/bin/env bash
# Packs a guest: initramfs.sh FETCHED BINARY OUT.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
fetched=$1 binary=$2 out=$3
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

cp -a "$fetched/guest/." "$tree/"
rm -rf "$tree/usr/share" "$tree/usr/lib/udev" "$tree/lib/udev"
mkdir -p "$tree"/{proc,sys,dev,tmp}
cp "$binary" "$tree/bin/bike-edge"
cp "$here/init.sh" "$tree/init"
chmod 755 "$tree/init"

"$here/modules.sh" "$fetched/kernel" "$tree/modules" vivid

(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$out"
