#!/usr/bin/env bash
# Fetches from Debian what a guest with a virtual camera needs: a kernel with its vivid driver, a shell, libraries, and
# v4l2-ctl to make the camera misbehave. Unpacked below $1, for the Debian architecture $2; nothing is installed.
set -euo pipefail

root=$1 arch=$2
packages=(busybox-static libc6 libgcc-s1 libstdc++6 v4l-utils libv4l-0 libv4lconvert0 libjpeg62-turbo)

die() { echo "test-camera: $*" >&2; exit 1; }

[ -e "$root/.complete" ] && exit 0
command -v dpkg-deb >/dev/null || die "needs Debian or Ubuntu (dpkg-deb, apt-get)"
state=$root/apt
rm -rf "$root"
mkdir -p "$state/lists/partial" "$state/archives/partial" "$root/guest" "$root/kernel"
: >"$state/status"
options=(-q -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists"
    -o "Dir::State::status=$state/status" -o "Dir::Cache=$state" -o APT::Sandbox::User=root)
retry() {
    local i
    for i in 1 2 3; do "$@" >"$root/apt.log" 2>&1 && return; sleep $((i * 5)); done
    cat "$root/apt.log" >&2
    die "failed three times: $*; is Debian's archive reachable?"
}
retry apt-get "${options[@]}" update
kernel=$(apt-cache "${options[@]}" depends "linux-image-$arch" | awk '/Depends:/ { print $2; exit }')
[ -n "$kernel" ] || die "the archive has no linux-image-$arch"
cd "$root"
retry apt-get "${options[@]}" download "$kernel" "${packages[@]}"
dpkg-deb -x "$kernel"_*.deb kernel
for package in "${packages[@]}"; do dpkg-deb -x "$package"_*.deb guest; done
rm -rf "$state" ./*.deb
touch .complete
