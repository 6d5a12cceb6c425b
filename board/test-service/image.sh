#!/usr/bin/env bash
# Makes the guest's disk and initramfs:   image.sh DEBIAN_TAR FETCHED PACKAGE OUT_FOLDER
# The disk is Debian with systemd, the package, the same package with a higher version, and what guest.sh needs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tar=$1 fetched=$2 package=$3 out=$4
modules=$here/../test-camera/modules.sh
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
"$modules" "$fetched/kernel" "$root/test/modules" vivid

cat >"$root/etc/systemd/system/test-service.service" <<'UNIT'
[Unit]
Description=The test
After=systemd-udev-settle.service systemd-journal-flush.service

[Service]
ExecStart=/bin/sh /test/guest.sh
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../test-service.service "$root/etc/systemd/system/multi-user.target.wants/"
# The console is the test's; nobody logs in.
for unit in serial-getty@ttyAMA0 serial-getty@ttyS0 getty@tty1; do ln -s /dev/null "$root/etc/systemd/system/$unit.service"; done
# A distribution that gives cameras to root alone, so that the package's own rule is seen to work.
echo 'SUBSYSTEM=="video4linux", GROUP="root", MODE="0600"' >"$root/etc/udev/rules.d/55-test.rules"
# An ffmpeg that cannot reach its camera and, as the real one does, says the whole address.
printf '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 5.1"; exit 0 ;; esac\necho "$*: Connection refused" >&2\nexit 1\n' >"$root/usr/local/bin/ffmpeg"
chmod 755 "$root/usr/local/bin/ffmpeg" "$root/test/guest.sh"
# Without one, every boot is a first boot.
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id"
mkdir -p "$root/var/log/journal"

size=$(($(du -sm "$root" | cut -f1) + 400))
mke2fs -q -F -t ext4 -d "$root" "$out/disk.img" "${size}M" >/dev/null

# Debian's kernel has the disk's driver and the file system as modules. videodev stands in for what the unit's
# modprobe@videodev.service loads where the system has its modules.
tree=$work/initramfs
mkdir -p "$tree"/{bin,proc,sys,dev,root}
cp "$fetched/guest/bin/busybox" "$tree/bin/"
"$modules" "$fetched/kernel" "$tree/modules" virtio_mmio virtio_pci virtio_blk crc32c_generic ext4 videodev
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
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$out/initramfs.gz"
