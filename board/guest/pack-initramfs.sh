#!/usr/bin/env bash
# Copies kernel modules into TREE/modules and packs TREE as an initramfs:
#
#   board/guest/pack-initramfs.sh KERNEL_FOLDER TREE OUT MODULE...
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
kernel=$1 tree=$2 out=$3
shift 3
"$here/copy-modules.sh" "$kernel" "$tree/modules" "$@"
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$out"
