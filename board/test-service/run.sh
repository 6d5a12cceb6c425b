#!/usr/bin/env bash
# Installs the package in a Debian whose systemd really runs, in an emulator with a virtual camera, and works the service
# there: guest.sh does it, check.py judges what it told.
#
#   board/test-service/run.sh arm64|amd64 PACKAGE
#
# Debian is kept below $BIKE_EDGE_TOOLS (default /opt/bike-edge-tools). Prints frames=, binary-sha256= and nonce=
# ($NONCE), all told by the guest. KEEP=FILE keeps the guest's console.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
arch=$1 package=$2
tools=${BIKE_EDGE_TOOLS:-/opt/bike-edge-tools}
nonce=${NONCE:-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')}

die() { echo "test-service: $*" >&2; exit 1; }
[ -f "$package" ] || die "there is no package $package"
case $nonce in *[!A-Za-z0-9._-]*) die "NONCE may hold letters, digits, dots, dashes and underscores" ;; esac
[ "$(id -u)" -eq 0 ] || die "needs root, for the files of a Debian"
case $arch in
    arm64) qemu=qemu-system-aarch64 needs=qemu-system-arm console=ttyAMA0 machine=(-M virt -cpu cortex-a76) ;;
    amd64) qemu=qemu-system-x86_64 needs=qemu-system-x86 console=ttyS0 machine=(-M q35 -cpu max) ;;
    *) die "unknown architecture $arch: arm64 or amd64" ;;
esac

need=()
command -v "$qemu" >/dev/null || need+=("$needs")
command -v cpio >/dev/null || need+=(cpio)
command -v xz >/dev/null || need+=(xz-utils)
command -v python3 >/dev/null || need+=(python3-minimal)
command -v mke2fs >/dev/null || need+=(e2fsprogs)
if [ ${#need[@]} -gt 0 ]; then
    { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${need[@]}"; } >&2
fi

suite=${SUITE:-bookworm}
tar=$tools/debian-$suite-$arch-systemd.tar
"$here/../debian.sh" "$arch" "$tar" systemd,udev,kmod,libstdc++6,v4l-utils
"$here/../test-camera/fetch.sh" "$tools/camera-guest-$arch" "$arch"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/image.sh" "$tar" "$tools/camera-guest-$arch" "$package" "$work"
log=${KEEP:-$work/console}
: >"$log"

# boot WHICH SECONDS: until the guest switches off, or, at "T cut", the power is cut.
boot() {
    local end=$((SECONDS + $2)) guest
    # Time in the guest is counted in its instructions, 2 ns each: a busy host makes the test slower, not the service hang.
    "$qemu" "${machine[@]}" -icount shift=1 -smp 2 -m 1024 -nographic -nodefaults -serial mon:stdio -no-reboot \
        -drive "file=$work/disk.img,format=raw,if=virtio" \
        -kernel "$tools/camera-guest-$arch"/kernel/boot/vmlinuz-* -initrd "$work/initramfs.gz" \
        -append "console=$console quiet loglevel=1 systemd.show_status=0 panic=-1 boot=$1 nonce=$nonce" </dev/null >>"$log" 2>&1 &
    guest=$!
    while kill -0 $guest 2>/dev/null; do
        if [ "$1" = first ] && grep -aq '^T cut' "$log"; then
            kill -KILL $guest
        elif [ $SECONDS -ge $end ]; then
            kill -KILL $guest
            tail -n 40 "$log" >&2
            die "the $1 boot was not over after $2 seconds"
        fi
        sleep 0.2
    done
    # Its code says nothing: a guest that died is one that did not tell all.
    wait $guest 2>/dev/null || true
}
boot first 1800
boot second 1200

sha256=$(dpkg-deb --fsys-tarfile "$package" | tar -xO ./usr/bin/bike-edge | sha256sum | cut -d ' ' -f 1)
python3 -B "$here/check.py" "$log" --nonce "$nonce" --sha256 "$sha256"
