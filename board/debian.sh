#!/usr/bin/env bash
# Makes a small Debian as a tar, once:   board/debian.sh ARCHITECTURE TAR PACKAGE,PACKAGE...
# For another architecture than this machine's its programs run under qemu-user. Needs root; installs what is missing.
# SUITE picks the release (bookworm).
set -euo pipefail

die() { echo "board/debian.sh: $*" >&2; exit 1; }
[ $# -eq 3 ] || die "usage: board/debian.sh ARCHITECTURE TAR PACKAGE,PACKAGE..."
arch=$1 tar=$2 packages=$3 suite=${SUITE:-bookworm}
[ "$(id -u)" -eq 0 ] || die "needs root, for chroot"

need=()
command -v mmdebstrap >/dev/null || need+=(mmdebstrap)
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
    command -v arch-test >/dev/null || need+=(arch-test)
    [ -x /usr/libexec/qemu-binfmt/aarch64-binfmt-P ] || need+=(qemu-user-static)
fi
if [ ${#need[@]} -gt 0 ]; then
    { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${need[@]}"; } >&2
fi

# The kernel is told which emulator runs foreign programs. Containers and minimal systems have no one else to do so.
if [ "$arch" != "$(dpkg --print-architecture)" ] && ! arch-test "$arch" >/dev/null 2>&1; then
    binfmt=/proc/sys/fs/binfmt_misc
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null ||
        die "this kernel cannot be told how to run programs for $arch (binfmt_misc); install binfmt-support on the host"
    case $arch in arm64) emulator=qemu-aarch64 ;; armhf) emulator=qemu-arm ;; *) die "no emulator known for $arch" ;; esac
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
die "Debian $suite for $arch could not be made in three tries; is Debian's archive reachable?"
