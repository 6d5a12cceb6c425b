#!/usr/bin/env bash
# Tests on emulated ARM processors (qemu-user), without a board.
#
#   board/test-arm.sh numeric    aarch64: what computes, on cortex-a72 (NEON), cortex-a76 (SDOT) and max (I8MM), and the
#                                program itself on each, against this host's answers; needs target/release/bike-edge
#   board/test-arm.sh whole      aarch64 (max) and armv7: the whole suite, but for tests that start the program
#                                (WITH_PROGRAM=1: those too)
#
# NONCE=... is echoed by the emulated test program. Tools come from board/toolchain.sh setup.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
nonce=${NONCE:-$(date +%s%N)}
clip=tests/data/clip.mp4

# What computes, by the names of tests: kernels, operators and encoder goldens, retrieval, spotting, preprocessing,
# tokens, which frames are sampled. Left out is what an ARM processor does not change and emulation makes slow: reading files and streams, the command line,
# refusals of bad bundles. Names that begin as these are taken.
numeric_lib="encoder:: table:: recognition:: frame:: text:: source::sampling::"
numeric_promises="a_crop_is_ network_goldens:: spotting_ attributes:: tables:: tokens:: any_picture_is_prepared"

program_starters=(--skip command_line:: --skip any_text:: --skip service:: --skip stopping:: --skip watching:: --skip ffmpeg)

die() { echo "board/test-arm.sh: $*" >&2; exit 1; }

# Cross-builds the tests of $1 and the program, and prints the test programs' paths, the library's first.
build_tests() {
    local log
    log=$(mktemp)
    ./board/toolchain.sh cargo "$1" test --no-run --release --locked --lib --test promises 2>&1 | tee "$log" >&2
    sed -n 's/^ *Executable unittests src.lib.rs (\(.*\))$/\1/p; s/^ *Executable tests.promises.main.rs (\(.*\))$/\1/p' "$log"
    rm "$log"
}

# Runs test program $2 on processor $1 and shows its last line; the whole output where it fails.
run_tests() {
    local cpu=$1 program=$2 log
    shift 2
    log=$(mktemp)
    if ! ./board/toolchain.sh run "$cpu" "$program" "$@" >"$log" 2>&1; then
        cat "$log"
        die "$(basename "$program") fails on $cpu"
    fi
    grep -q '^test result: ok. [1-9]' "$log" || { cat "$log"; die "no test of $(basename "$program") ran"; }
    echo "$cpu $(basename "$program"): $(sed -n 's/^test result: //p' "$log")"
    rm "$log"
}

# The kernel that processor $1 must choose shows itself, from inside the emulated test program $3.
show_kernel() {
    local cpu=$1 kernel=$2 program=$3 out
    out=$(NONCE=$nonce BIKE_EDGE_EXPECTED_KERNEL=$kernel ./board/toolchain.sh run "$cpu" "$program" --exact --nocapture \
        encoder::ops::chosen::the_chosen_kernel_answers_as_the_portable_one_to_the_bit 2>&1) || { echo "$out"; die "$cpu does not run kernel $kernel"; }
    echo "$cpu"
    grep -E "^(kernel|binary-sha256|nonce)=" <<<"$out"
    grep -q "^kernel=$kernel .* ok\$" <<<"$out" || die "$cpu ran another kernel than $kernel"
    grep -qxF "nonce=$nonce" <<<"$out" || die "the answer of $cpu is not this run's"
    grep -qxF "binary-sha256=$(sha256sum <"$program" | cut -d' ' -f1)" <<<"$out" || die "$cpu ran another program"
}

# The program itself on processor $1: the kernel it says it took, and the same answers as this host's program.
classify() {
    local cpu=$1 kernel=$2 program=$3 folder
    folder=$(mktemp -d)
    "$target/release/bike-edge" classify "$clip" --json --raw >"$folder/host.json"
    ./board/toolchain.sh run "$cpu" "$program" classify "$clip" --json --raw -vv >"$folder/$cpu.json" 2>"$folder/log" ||
        { cat "$folder/log"; die "classify fails on $cpu"; }
    grep -q "visual.onnx: kernel $kernel," "$folder/log" || { cat "$folder/log"; die "classify on $cpu did not take $kernel"; }
    python3 board/same_answers.py "$folder/host.json" "$folder/$cpu.json"
    rm -r "$folder"
}

numeric() {
    local programs cpu kernel
    [ -x "$target/release/bike-edge" ] || die "no $target/release/bike-edge; make build first"
    mapfile -t programs < <(build_tests aarch64)
    [ ${#programs[@]} = 2 ] || die "the tests cannot be built"
    for cpu in cortex-a72:neon cortex-a76:sdot max:i8mm; do
        kernel=${cpu#*:} cpu=${cpu%:*}
        show_kernel "$cpu" "$kernel" "${programs[0]}"
        # shellcheck disable=SC2086
        run_tests "$cpu" "${programs[0]}" $numeric_lib
        # shellcheck disable=SC2086
        run_tests "$cpu" "${programs[1]}" $numeric_promises
        classify "$cpu" "$kernel" "$target/aarch64-unknown-linux-gnu/release/bike-edge"
    done
}

whole() {
    local programs program pair binfmt skip
    for pair in aarch64:max armv7:cortex-a15; do
        # Tests that start the program need the kernel of this host to start ARM programs by itself, and hours.
        binfmt=qemu-${pair%%:*} skip=()
        [ "${pair%%:*}" != armv7 ] || binfmt=qemu-arm
        if [ -z "${WITH_PROGRAM:-}" ]; then
            skip=("${program_starters[@]}")
            echo "${pair%%:*}: tests that start the program or ffmpeg are left out; WITH_PROGRAM=1 runs them (hours)"
        elif [ ! -e "/proc/sys/fs/binfmt_misc/$binfmt" ]; then
            skip=("${program_starters[@]}")
            echo "${pair%%:*}: tests that start the program or ffmpeg are left out: qemu is not registered in" \
                "/proc/sys/fs/binfmt_misc (install qemu-user-binfmt)"
        fi
        mapfile -t programs < <(build_tests "${pair%:*}")
        [ ${#programs[@]} = 2 ] || die "the tests cannot be built"
        for program in "${programs[@]}"; do run_tests "${pair#*:}" "$program" "${skip[@]}"; done
    done
}

case ${1:-} in
    numeric) numeric ;;
    whole) whole ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
