#!/usr/bin/env bash
# Tests the Debian package and its service: installs it in a Debian that boots with systemd, in an emulator with a virtual
# camera. guest.sh runs the steps in the guest, check.py checks what it reports.
#
#   board/test-service/run.sh arm64|amd64 PACKAGE
#
# Needs root. Prints the checks, then frames=, binary-sha256= and nonce= as the guest reports them. See board/guest/lib.sh
# for BIKE_EDGE_TOOLS, NONCE and KEEP.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
test_name=test-service
# shellcheck source=board/guest/lib.sh
. "$here/../guest/lib.sh"

arch=$1 package=$2
[ -f "$package" ] || die "there is no package $package; build it with make deb"
[ "$(id -u)" -eq 0 ] || die "the guest's disk needs files owned by root; run as root"
prepare_guest "$arch" mke2fs:e2fsprogs

suite=${SUITE:-bookworm}
tar=$tools/debian-$suite-$arch-systemd.tar
"$here/../debian.sh" "$arch" "$tar" systemd,udev,kmod,libstdc++6,v4l-utils
"$here/image.sh" "$tar" "$fetched" "$package" "$work"
: >"$log"

# boot WHICH SECONDS: runs the guest until it powers off. In the first boot, cuts the power when it prints "T cut".
boot() {
    local end=$((SECONDS + $2)) pid
    set_emulator "systemd.show_status=0 boot=$1" -drive "file=$work/disk.img,format=raw,if=virtio"
    "${emulator[@]}" </dev/null >>"$log" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if [ "$1" = first ] && grep -aq '^T cut' "$log"; then
            kill -KILL $pid
        elif [ $SECONDS -ge $end ]; then
            kill -KILL $pid
            tail -n 40 "$log" >&2
            die "the $1 boot took longer than $2 seconds"
        fi
        sleep 0.2
    done
    # The exit code does not matter: if the guest crashed, the console lacks results and the checks fail.
    wait $pid 2>/dev/null || true
}
boot first 1800
boot second 1200

sha256=$(dpkg-deb --fsys-tarfile "$package" | tar -xO ./usr/bin/bike-edge | sha256sum | cut -d ' ' -f 1)
check_console "$here/check.py" "$sha256"
