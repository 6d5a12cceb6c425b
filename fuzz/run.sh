#!/usr/bin/env bash
# Runs fuzz targets with the stable compiler:
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# Each target runs for SECONDS, all of them by default, from the random SEED (1). Inputs that find new code are kept in target/fuzz/corpus; an
# input that fails is kept in target/fuzz/failures, and printed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
target=${CARGO_TARGET_DIR:-target}
if [ $# -eq 0 ]; then
    mapfile -t all < <(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | grep -v bike-edge-fuzz)
    set -- "${all[@]}"
fi

# Coverage is measured in our own crates. The others are those of a release build, so that they are not built again.
# (Both packages are named so that the others have the same features as there.)
bins=()
for name in "$@"; do bins+=(--bin "$name"); done
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --release --locked -p bike-edge -p bike-edge-fuzz "${bins[@]}"

for name in "$@"; do
    corpus=$target/fuzz/corpus/$name
    mkdir -p "$corpus" "$target/fuzz/failures"
    seeds=()
    [ ! -d "fuzz/corpus/$name" ] || seeds+=("fuzz/corpus/$name")
    [ "$name" != mp4 ] || seeds+=(tests/data/sources)
    dictionary=()
    [ ! -f "fuzz/dictionaries/$name.dict" ] || dictionary+=("-dict=fuzz/dictionaries/$name.dict")
    echo "fuzz: $name for $seconds s"
    if ! "$target/release/$name" "$corpus" "${seeds[@]}" "${dictionary[@]}" -seed="${SEED:-1}" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len=65536 -artifact_prefix="$target/fuzz/failures/$name-" -print_final_stats=1 \
        >"$target/fuzz/$name.log" 2>&1; then
        tail -n 40 "$target/fuzz/$name.log" >&2
        echo "fuzz: $name failed; see $target/fuzz/$name.log" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  executions: /p; s/^stat::slowest_unit_time_sec: */  slowest, s: /p' \
        "$target/fuzz/$name.log"
done
