#!/bin/sh
# Builds a Debian package:   board/deb/build.sh BINARY ARCHITECTURE OUT_FOLDER [HOST_BINARY]
# Packages BINARY. HOST_BINARY is the same version for this machine; it generates man pages and completions and unpacks
# the bundle (default: BINARY).
set -eu
cd "$(dirname "$0")/../.."

if [ $# -lt 3 ]; then
    echo "deb: usage: board/deb/build.sh BINARY ARCHITECTURE OUT_FOLDER [HOST_BINARY]" >&2
    exit 2
fi
binary=$1 architecture=$2 out=$3 host=${4:-$1}
for file in "$binary" "$host"; do
    [ -x "$file" ] || { echo "deb: $file not found; build it first (make build, make cross)" >&2; exit 1; }
done
command -v dpkg-deb >/dev/null 2>&1 || { echo "deb: dpkg-deb not found; install it (apt install dpkg)" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$("$host" --version)" = "bike-edge $version" ] || { echo "deb: $host is not version $version; build it again" >&2; exit 1; }

# The maintainer, from the variables of Debian's tools or from git.
maintainer() {
    name=${DEBFULLNAME:-$(git config user.name || true)}
    email=${DEBEMAIL:-${EMAIL:-$(git config user.email || true)}}
    case $email in
        *' <'*@*'>') echo "$email" ;;
        *@*) echo "${name:-the bike-edge authors} <$email>" ;;
        '') echo "the bike-edge authors <bike-edge@localhost>" ;;
        *) echo "deb: DEBEMAIL or EMAIL is \"$email\", which is not an address; use name@domain" >&2; return 1 ;;
    esac
}
maintainer=$(maintainer)

# The C and C++ libraries that the binary needs, from the versions of its symbols.
newest() { grep -ao "$1_[0-9][0-9.]*[0-9]" "$binary" | sort -uV | tail -n 1 | sed "s/^$1_//"; }
libc=$(newest GLIBC)
depends="libc6 (>= ${libc:-2.34}), libgcc-s1"
grep -aq 'libstdc++\.so\.6' "$binary" && depends="$depends, libstdc++6"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
umask 022
chmod 755 "$root"
install -Dm755 "$binary" "$root/usr/bin/bike-edge"
# Symbols are half of the file and useless on a board.
case "$architecture" in arm64) strip='aarch64-linux-gnu-strip' ;; *) strip='strip' ;; esac
if command -v "$strip" >/dev/null 2>&1; then "$strip" --strip-unneeded "$root/usr/bin/bike-edge"; fi
install -Dm644 board/bike-edge.toml "$root/etc/bike-edge/bike-edge.toml"
install -Dm644 board/systemd/bike-edge.service "$root/lib/systemd/system/bike-edge.service"
install -Dm644 board/udev/49-bike-edge.rules "$root/lib/udev/rules.d/49-bike-edge.rules"
install -d "$root/usr/share/bike-edge/models" "$root/usr/share/bike-edge/profiles"
"$host" bundle unpack embedded "$root/usr/share/bike-edge/models/demo" >/dev/null
install -m644 board/profiles/*.toml "$root/usr/share/bike-edge/profiles/"
board/install-pages.sh "$host" "$root/usr/share" zsh/vendor-completions
gzip -9n "$root/usr/share/man/man1/"*.1
doc="$root/usr/share/doc/bike-edge"
install -d "$doc/schemas"
for page in service configuration reliability security cameras sources events output devices text bundle glossary; do
    install -m644 "docs/$page.md" "$doc/"
done
install -m644 docs/schemas/*.schema.json "$doc/schemas/"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: the bike-edge authors\n'
    printf 'License: Apache-2.0 or MIT\n\nFiles: usr/share/bike-edge/models/*\nCopyright: see README.md in that folder\nLicense: see bundle.toml in that folder\n\n'
    printf 'License: Apache-2.0 or MIT\n see /usr/share/common-licenses/Apache-2.0, or:\n .\n'
    sed 's/^$/./; s/^/ /' LICENSE-MIT
} >"$doc/copyright"
find "$root" -type f -path '*/share/*' -exec chmod 644 {} +

install -d "$root/DEBIAN"
for script in postinst prerm postrm; do install -m755 "board/deb/$script" "$root/DEBIAN/$script"; done
echo /etc/bike-edge/bike-edge.toml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<CONTROL
Package: bike-edge
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: ffmpeg
Section: video
Priority: optional
Description: action recognition in clips and cameras on small computers
 Reports which action a camera or clip shows, when and why, as events in JSON
 Lines, with BIKE (CVPR 2023). Frames never leave the device.
 .
 The service bike-edge.service is installed but not started, because it reads
 cameras: choose them in /etc/bike-edge/bike-edge.toml first.
CONTROL
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

mkdir -p "$out"
deb="$out/bike-edge_${version}_$architecture.deb"
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb"
