#!/bin/sh
# Installs, runs, upgrades, removes and purges a package in a fresh Debian:   board/deb/test.sh PACKAGE
# board/debian.sh creates the Debian once and caches it below $BIKE_EDGE_TOOLS (default /opt/bike-edge-tools). Needs root,
# mounts nothing. A package of a foreign architecture runs under qemu-user.
set -eu
cd "$(dirname "$0")/../.."

[ $# -eq 1 ] || { echo "test-deb: usage: board/deb/test.sh PACKAGE" >&2; exit 2; }
package=$1 suite=${SUITE:-bookworm}
architecture=$(dpkg-deb -f "$package" Architecture)
tar=${BIKE_EDGE_TOOLS:-/opt/bike-edge-tools}/debian-$suite-$architecture.tar
board/debian.sh "$architecture" "$tar" libstdc++6

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT INT TERM
tar -C "$root" -xf "$tar" --exclude='./dev/*'
# The only device that is needed; a plain file is enough.
: >"$root/dev/null"
cp "$package" "$root/tmp/one.deb"
in_debian() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
fail() { echo "test-deb: FAILED: $*" >&2; exit 1; }
step() { echo "test-deb: $*"; }
(cd "$root" && find etc usr lib var -xdev ! -type d ! -path 'var/lib/dpkg/*' ! -path 'var/log/*' ! -path 'var/cache/*' | sort) >"$root.before"

step "install"
in_debian dpkg -i /tmp/one.deb >/dev/null || fail "the package does not install"
in_debian bike-edge --version
in_debian bike-edge check-config >/dev/null || fail "the shipped configuration is refused"
cp tests/data/clip.mp4 "$root/tmp/"
in_debian bike-edge classify /tmp/clip.mp4 || fail "classify does not recognise a clip"
in_debian bike-edge bundle verify /usr/share/bike-edge/models/demo >/dev/null || fail "the installed bundle does not verify"
for file in lib/systemd/system/bike-edge.service lib/udev/rules.d/49-bike-edge.rules usr/share/man/man1/bike-edge-run.1.gz \
    usr/share/bash-completion/completions/bike-edge usr/share/zsh/vendor-completions/_bike-edge \
    usr/share/fish/vendor_completions.d/bike-edge.fish; do
    [ -s "$root/$file" ] || fail "/$file is missing or empty"
done
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/bike-edge.service" ] || fail "the service was enabled by the installation"

step "upgrade keeps a changed configuration"
echo '# mine' >>"$root/etc/bike-edge/bike-edge.toml"
mkdir "$root/tmp/two" && in_debian dpkg-deb -R /tmp/one.deb /tmp/two
sed -i 's/^Version: .*/&+upgrade/' "$root/tmp/two/DEBIAN/control"
echo '# a new default' >>"$root/tmp/two/etc/bike-edge/bike-edge.toml"
in_debian dpkg-deb -b /tmp/two /tmp/two.deb >/dev/null
in_debian dpkg --force-confdef --force-confold -i /tmp/two.deb >/dev/null 2>&1 || fail "the package does not upgrade"
grep -q '^# mine$' "$root/etc/bike-edge/bike-edge.toml" || fail "the upgrade lost the changed configuration"
in_debian dpkg -s bike-edge | grep -q '+upgrade' || fail "the version did not change"

step "remove keeps the configuration, purge leaves nothing"
mkdir -p "$root/var/lib/private/bike-edge" "$root/var/log/private/bike-edge"
in_debian dpkg -r bike-edge >/dev/null || fail "the package cannot be removed"
[ -e "$root/etc/bike-edge/bike-edge.toml" ] || fail "remove deleted the configuration"
[ ! -e "$root/usr/bin/bike-edge" ] || fail "remove left the program"
in_debian dpkg -P bike-edge >/dev/null || fail "the package cannot be purged"
(cd "$root" && find etc usr lib var -xdev ! -type d ! -path 'var/lib/dpkg/*' ! -path 'var/log/*' ! -path 'var/cache/*' | sort) >"$root.after"
left=$(diff "$root.before" "$root.after" || true)
rm -f "$root.before" "$root.after"
[ -z "$left" ] || fail "purge left: $left"
for folder in etc/bike-edge usr/share/bike-edge var/lib/private/bike-edge var/log/private/bike-edge; do
    [ ! -e "$root/$folder" ] || fail "purge left /$folder"
done
echo "test-deb: ok ($(basename "$package") on Debian $suite)"
