#!/usr/bin/env bash
# Downloads from Debian what a guest with a virtual camera needs: a kernel with its vivid driver, a shell, libraries, and
# v4l2-ctl, which injects camera faults. Unpacks it below FOLDER and installs nothing:
#
#   board/guest/fetch-kernel.sh FOLDER ARCHITECTURE
set -euo pipefail

folder=$1 arch=$2
packages=(busybox-static libc6 libgcc-s1 libstdc++6 v4l-utils libv4l-0 libv4lconvert0 libjpeg62-turbo)

die() { echo "fetch-kernel: $*" >&2; exit 1; }

[ -e "$folder/.complete" ] && exit 0
command -v dpkg-deb >/dev/null || die "dpkg-deb not found; this test needs Debian or Ubuntu"
state=$folder/apt
rm -rf "$folder"
mkdir -p "$state/lists/partial" "$state/archives/partial" "$folder/guest" "$folder/kernel"
: >"$state/status"
options=(-q -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists"
    -o "Dir::State::status=$state/status" -o "Dir::Cache=$state" -o APT::Sandbox::User=root)
retry() {
    local i
    for i in 1 2 3; do "$@" >"$folder/apt.log" 2>&1 && return; sleep $((i * 5)); done
    cat "$folder/apt.log" >&2
    die "failed three times: $*; check that Debian's archive can be reached"
}
retry apt-get "${options[@]}" update
kernel=$(apt-cache "${options[@]}" depends "linux-image-$arch" | awk '/Depends:/ { print $2; exit }')
[ -n "$kernel" ] || die "the archive has no linux-image-$arch"
cd "$folder"
retry apt-get "${options[@]}" download "$kernel" "${packages[@]}"
dpkg-deb -x "$kernel"_*.deb kernel
for package in "${packages[@]}"; do dpkg-deb -x "$package"_*.deb guest; done
rm -rf "$state" ./*.deb
touch .complete
