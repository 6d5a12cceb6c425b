#!/usr/bin/env bash
# Counts the instructions per frame on ARM (aarch64) under qemu-user: the difference between running a network
# twice and once. Needs no board. Instructions are not time, because some take longer than others.
#
#   board/arm-instructions.sh [FRAME_ENCODER.onnx ...]    default: the demo model, ViT-B/32 in f32 and int8 (random
#                                                         weights, created in the build folder; needs make export-env)
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
plugin=$target/count_instructions.so
networks=$target/networks

die() { echo "board/arm-instructions.sh: $*" >&2; exit 1; }

./board/toolchain.sh setup aarch64
# The tests use the static build of qemu, which cannot load plugins.
command -v qemu-aarch64 >/dev/null || ./board/install-packages.sh qemu-user
mkdir -p "$networks"
gcc -O2 -shared -fPIC -o "$plugin" board/count_instructions.c
log=$(./board/toolchain.sh cargo aarch64 bench --profile release --no-run --locked --bench network 2>&1) || die "$log"
program=$(sed -n 's/^ *Executable benches.network.rs (\(.*\))$/\1/p' <<<"$log")

if [ $# = 0 ]; then
    if [ ! -e "$networks/b32.int8.onnx" ]; then
        python=models/export/.venv/bin/python
        [ -x "$python" ] || die "ViT-B/32 cannot be created without $python; run make export-env, or name a network"
        "$python" benches/make_vit.py "$networks" b32
    fi
    set -- models/demo/visual.onnx "$networks/b32.fp32.onnx" "$networks/b32.int8.onnx"
fi

# Instructions of a whole process: network $1, kernel $2, commands $3.
count() {
    local out
    out=$(qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu -plugin "$plugin" "$program" "$1" --kernel "$2" <<<"$3" 2>&1 >/dev/null)
    sed -n 's/^instructions=//p' <<<"$out" | grep . || die "$out"
}

printf '%-40s %-8s %s\n' network kernel 'million instructions per frame'
for network in "$@"; do
    kernels="neon sdot i8mm"
    # Without int8 layers the kernels do not differ.
    grep -qE 'MatMulInteger|ConvInteger' "$network" || kernels=neon
    for kernel in $kernels; do
        once=$(count "$network" "$kernel" "")
        twice=$(count "$network" "$kernel" "run 1")
        [ "$kernels" = neon ] && kernel=f32
        printf '%-40s %-8s %.1f\n' "$network" "$kernel" "$(awk "BEGIN { print ($twice - $once) / 1e6 }")"
    done
done
