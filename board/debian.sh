#!/usr/bin/env bash
# Creates a minimal Debian root file system as a tar file, unless it exists:
#
#   board/debian.sh ARCHITECTURE TAR PACKAGE,PACKAGE...
#
# Programs of a foreign architecture run under qemu-user. Needs root; installs missing packages. SUITE selects the
# release (bookworm).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "board/debian.sh: $*" >&2; exit 1; }
[ $# -eq 3 ] || die "usage: board/debian.sh ARCHITECTURE TAR PACKAGE,PACKAGE..."
arch=$1 tar=$2 packages=$3 suite=${SUITE:-bookworm}
[ "$(id -u)" -eq 0 ] || die "chroot needs root; run as root"

foreign=
[ "$arch" = "$(dpkg --print-architecture)" ] || foreign=yes
missing=()
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
if [ -n "$foreign" ]; then
    command -v arch-test >/dev/null || missing+=(arch-test)
    [ -x /usr/libexec/qemu-binfmt/aarch64-binfmt-P ] || missing+=(qemu-user-static)
fi
"$here/install-packages.sh" "${missing[@]}"

# Registers the emulator with the kernel, because containers and minimal systems have no service that does it.
if [ -n "$foreign" ] && ! arch-test "$arch" >/dev/null 2>&1; then
    binfmt=/proc/sys/fs/binfmt_misc
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null ||
        die "no emulator for $arch can be registered with this kernel (binfmt_misc); install binfmt-support on the host"
    case $arch in arm64) emulator=qemu-aarch64 ;; armhf) emulator=qemu-arm ;; *) die "unknown architecture $arch: arm64 or armhf" ;; esac
    [ -e "$binfmt/$emulator" ] || cat "/usr/lib/binfmt.d/$emulator.conf" >$binfmt/register
    arch-test "$arch" >/dev/null || die "programs for $arch do not run here; install binfmt-support and qemu-user-static"
fi

[ ! -s "$tar" ] || exit 0
mkdir -p "$(dirname "$tar")"
log=$tar.log
for try in 1 2 3; do
    if mmdebstrap --quiet --architectures="$arch" --variant=minbase --format=tar --include="$packages" \
        "$suite" "$tar.new" >"$log" 2>&1; then
        mv "$tar.new" "$tar"
        rm "$log"
        exit 0
    fi
    sleep $((try * 5))
done
tail -n 20 "$log" >&2
die "Debian $suite for $arch could not be created in three tries; check that Debian's archive can be reached"
