#!/usr/bin/env bash
# Instructions that one frame takes on ARM (aarch64), counted under qemu-user: the difference between two runs of a
# network and one. No board is needed; instructions are not time, as they differ in what they cost.
#
#   board/arm-instructions.sh [FRAME_ENCODER.onnx ...]    default: the demo model, ViT-B/32 in f32 and int8 (random
#                                                         weights, made in the build folder; needs make export-env)
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
plugin=$target/count_instructions.so
networks=$target/networks

die() { echo "board/arm-instructions.sh: $*" >&2; exit 1; }

./board/toolchain.sh setup aarch64
# The static build of qemu, which tests use, takes no plugins.
command -v qemu-aarch64 >/dev/null || apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends qemu-user
mkdir -p "$networks"
gcc -O2 -shared -fPIC -o "$plugin" board/count_instructions.c
log=$(./board/toolchain.sh cargo aarch64 bench --profile release --no-run --locked --bench network 2>&1) || die "$log"
program=$(sed -n 's/^ *Executable benches.network.rs (\(.*\))$/\1/p' <<<"$log")

if [ $# = 0 ]; then
    if [ ! -e "$networks/b32.int8.onnx" ]; then
        python=models/export/.venv/bin/python
        [ -x "$python" ] || die "no $python to make ViT-B/32 with; make export-env first, or name a network"
        "$python" benches/make_vit.py "$networks" b32
    fi
    set -- models/demo/visual.onnx "$networks/b32.fp32.onnx" "$networks/b32.int8.onnx"
fi

# Instructions of a whole program: network $1, kernel $2, commands $3.
count() {
    local out
    out=$(qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu -plugin "$plugin" "$program" "$1" --kernel "$2" <<<"$3" 2>&1 >/dev/null)
    sed -n 's/^instructions=//p' <<<"$out" | grep . || die "$out"
}

printf '%-40s %-8s %s\n' network kernel 'million instructions a frame'
for network in "$@"; do
    kernels="neon sdot i8mm"
    # Without int8 layers every kernel has the same work.
    grep -qE 'MatMulInteger|ConvInteger' "$network" || kernels=neon
    for kernel in $kernels; do
        once=$(count "$network" "$kernel" "")
        twice=$(count "$network" "$kernel" "run 1")
        [ "$kernels" = neon ] && kernel=f32
        printf '%-40s %-8s %.1f\n' "$network" "$kernel" "$(awk "BEGIN { print ($twice - $once) / 1e6 }")"
    done
done
