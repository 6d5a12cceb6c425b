#!/usr/bin/env bash
# Tests bike-edge with virtual V4L2 cameras: Debian's kernel with its vivid driver, in an emulator.
#
#   board/test-camera/run.sh arm64|amd64 BINARY
#
# Prints the checks, then frames=, binary-sha256= and nonce= as the guest reports them. See board/guest/lib.sh for
# BIKE_EDGE_TOOLS, NONCE and KEEP.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
test_name=test-camera
# shellcheck source=board/guest/lib.sh
. "$here/../guest/lib.sh"

arch=$1 binary=$2
[ -x "$binary" ] || die "$binary is not a program; build it first"
prepare_guest "$arch"

tree=$work/tree
mkdir -p "$tree"
cp -a "$fetched/guest/." "$tree/"
rm -rf "${tree:?}/usr/share" "$tree/usr/lib/udev" "$tree/lib/udev"
mkdir -p "$tree"/{proc,sys,dev,tmp}
cp "$binary" "$tree/bin/bike-edge"
cp "$here/init.sh" "$tree/init"
chmod 755 "$tree/init"
"$guest/pack-initramfs.sh" "$fetched/kernel" "$tree" "$work/initramfs.gz" vivid

set_emulator ""
code=0
timeout --kill-after=5 1800 "${emulator[@]}" </dev/null >"$log" 2>&1 || code=$?
[ $code -eq 0 ] || { tail -n 40 "$log" >&2; die "the emulator exited with code $code"; }
check_console "$here/check.py" "$(sha256sum "$binary" | cut -d ' ' -f 1)"
