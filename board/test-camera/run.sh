#!/usr/bin/env bash
# Runs bike-edge on a real V4L2 device that is no hardware: Debian's kernel with its vivid driver, in an emulator.
#
#   board/test-camera/run.sh arm64|amd64 BINARY
#
# Debian's packages are unpacked below $BIKE_EDGE_TOOLS (default /opt/bike-edge-tools). Prints frames=, binary-sha256=
# and nonce= ($NONCE), all told by the guest. KEEP=FILE keeps the guest's console.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
arch=$1 binary=$2
tools=${BIKE_EDGE_TOOLS:-/opt/bike-edge-tools}
nonce=${NONCE:-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')}

die() { echo "test-camera: $*" >&2; exit 1; }
[ -x "$binary" ] || die "there is no program $binary"
case $nonce in *[!A-Za-z0-9._-]*) die "NONCE may hold letters, digits, dots, dashes and underscores" ;; esac
case $arch in
    arm64) qemu=qemu-system-aarch64 package=qemu-system-arm console=ttyAMA0 machine=(-M virt -cpu cortex-a76) ;;
    amd64) qemu=qemu-system-x86_64 package=qemu-system-x86 console=ttyS0 machine=(-M q35 -cpu max) ;;
    *) die "unknown architecture $arch: arm64 or amd64" ;;
esac

need=()
command -v "$qemu" >/dev/null || need+=("$package")
command -v cpio >/dev/null || need+=(cpio)
command -v xz >/dev/null || need+=(xz-utils)
command -v python3 >/dev/null || need+=(python3-minimal)
if [ ${#need[@]} -gt 0 ]; then
    [ "$(id -u)" -eq 0 ] || die "please run as root: apt-get install -y ${need[*]}"
    { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${need[@]}"; } >&2
fi

"$here/fetch.sh" "$tools/camera-guest-$arch" "$arch"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/initramfs.sh" "$tools/camera-guest-$arch" "$binary" "$work/initramfs.gz"
log=${KEEP:-$work/console}
code=0
# Time in the guest is counted in its instructions, 2 ns each, so that a busy host does not starve its cameras.
timeout --kill-after=5 1800 "$qemu" "${machine[@]}" -icount shift=1 -smp 2 -m 1024 -nographic -nodefaults -serial mon:stdio -no-reboot \
    -kernel "$tools/camera-guest-$arch"/kernel/boot/vmlinuz-* -initrd "$work/initramfs.gz" \
    -append "console=$console quiet loglevel=1 panic=-1 nonce=$nonce" </dev/null >"$log" 2>&1 || code=$?
[ $code -eq 0 ] || { tail -n 40 "$log" >&2; die "the emulator ended with code $code"; }
python3 -B "$here/check.py" "$log" --nonce "$nonce" --sha256 "$(sha256sum "$binary" | cut -d ' ' -f 1)"
