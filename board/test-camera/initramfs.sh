#!/usr/bin/env bash
# Packs a guest: initramfs.sh FETCHED BINARY OUT. The order in which modules are loaded is read out of the modules.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
fetched=$1 binary=$2 out=$3
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

cp -a "$fetched/guest/." "$tree/"
rm -rf "$tree/usr/share" "$tree/usr/lib/udev" "$tree/lib/udev"
mkdir -p "$tree"/{proc,sys,dev,tmp,modules}
cp "$binary" "$tree/bin/bike-edge"
cp "$here/init.sh" "$tree/init"
chmod 755 "$tree/init"

# A module comes after all those it depends on.
order=()
add() {
    local name=${1//_/-} file depends
    case " ${order[*]-} " in *" $name "*) return ;; esac
    file=$(find "$fetched/kernel" -path '*/modules/*' \( -name "$name.ko" -o -name "${name//-/_}.ko" -o -name "$name.ko.xz" -o -name "${name//-/_}.ko.xz" \) | head -n 1)
    # Not a module: built into the kernel.
    [ -n "$file" ] || return 0
    case $file in
        *.xz) xz -dc "$file" >"$tree/modules/$name.ko" ;;
        *) cp "$file" "$tree/modules/$name.ko" ;;
    esac
    depends=$(tr '\0' '\n' <"$tree/modules/$name.ko" | sed -n 's/^depends=//p' | head -n 1)
    local depend
    for depend in ${depends//,/ }; do add "$depend"; done
    order+=("$name")
}
add vivid
printf '%s\n' "${order[@]}" >"$tree/modules/order"

(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$out"
