#!/usr/bin/env bash
# Creates the guest's disk and initramfs:   board/test-service/image.sh DEBIAN_TAR FETCHED PACKAGE OUT_FOLDER
# The disk holds Debian with systemd, the package, the same package with a higher version, and the files of guest.sh.
# FETCHED is the folder of board/guest/fetch-kernel.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tar=$1 fetched=$2 package=$3 out=$4
guest=$here/../guest
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

root=$work/root
mkdir "$root"
tar -C "$root" -xf "$tar" --exclude='./dev/*'
mkdir "$root/test"
cp "$package" "$root/test/one.deb"
dpkg-deb -R "$package" "$work/two"
sed -i 's/^Version: .*/&+upgrade/' "$work/two/DEBIAN/control"
echo '# a new default' >>"$work/two/etc/bike-edge/bike-edge.toml"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/two" "$root/test/two.deb" >/dev/null
cp "$here/guest.sh" "$here/bike-edge.toml" "$root/test/"
"$guest/copy-modules.sh" "$fetched/kernel" "$root/test/modules" vivid

cat >"$root/etc/systemd/system/test-service.service" <<'UNIT'
[Unit]
Description=Steps of the service test
After=systemd-udev-settle.service systemd-journal-flush.service

[Service]
ExecStart=/bin/sh /test/guest.sh
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../test-service.service "$root/etc/systemd/system/multi-user.target.wants/"
# No login prompts, because the console carries the test's results.
for unit in serial-getty@ttyAMA0 serial-getty@ttyS0 getty@tty1; do ln -s /dev/null "$root/etc/systemd/system/$unit.service"; done
# Restricts cameras to root, so that the test shows whether the package's own rule works.
sed '/video4linux/d' "$root/lib/udev/rules.d/50-udev-default.rules" >"$root/etc/udev/rules.d/50-udev-default.rules"
# An ffmpeg that cannot reach its camera and, like the real one, prints the whole URL in its error.
# shellcheck disable=SC2016  # expanded by the script that is written
printf '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 5.1"; exit 0 ;; esac\necho "[rtsp @ 0x1] [error] $* $(cat): Connection refused" >&2\nexit 1\n' >"$root/usr/local/bin/ffmpeg"
chmod 755 "$root/usr/local/bin/ffmpeg" "$root/test/guest.sh"
# Without a machine id every boot counts as the first.
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id"
mkdir -p "$root/var/log/journal"

size=$(($(du -sm "$root" | cut -f1) + 400))
mke2fs -q -F -t ext4 -d "$root" "$out/disk.img" "${size}M" >/dev/null

# In Debian's kernel the drivers of disk and file system are modules. videodev is loaded here because the guest lacks the
# module folder from which the unit's modprobe@videodev.service would load it.
tree=$work/initramfs
mkdir -p "$tree"/{bin,proc,sys,dev,root}
cp "$fetched/guest/bin/busybox" "$tree/bin/"
cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod "/modules/$module.ko"; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /lib/systemd/systemd
INIT
chmod 755 "$tree/init"
"$guest/pack-initramfs.sh" "$fetched/kernel" "$tree" "$out/initramfs.gz" \
    virtio_mmio virtio_pci virtio_blk crc32c_generic ext4 videodev
