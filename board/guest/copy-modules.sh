#!/usr/bin/env bash
# Copies kernel modules and their dependencies:   board/guest/copy-modules.sh KERNEL_FOLDER OUT MODULE...
# OUT/order lists them in load order, which follows from the dependencies that each module file names.
set -euo pipefail

kernel=$1 out=$2
shift 2
mkdir -p "$out"
order=()
# Adds a module after all its dependencies.
add() {
    local name=${1//_/-} file depends depend
    case " ${order[*]-} " in *" $name "*) return ;; esac
    file=$(find "$kernel" -path '*/modules/*' \( -name "$name.ko" -o -name "${name//-/_}.ko" -o -name "$name.ko.xz" -o -name "${name//-/_}.ko.xz" \) | head -n 1)
    # No file: the driver is built into the kernel.
    [ -n "$file" ] || return 0
    case $file in
        *.xz) xz -dc "$file" >"$out/$name.ko" ;;
        *) cp "$file" "$out/$name.ko" ;;
    esac
    depends=$(tr '\0' '\n' <"$out/$name.ko" | sed -n 's/^depends=//p' | head -n 1)
    for depend in ${depends//,/ }; do add "$depend"; done
    order+=("$name")
}
for module; do add "$module"; done
printf '%s\n' "${order[@]}" >"$out/order"
