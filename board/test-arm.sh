#!/usr/bin/env bash
# Runs the tests on emulated ARM processors (qemu-user), without a board.
#
#   board/test-arm.sh numeric    aarch64: the numeric tests on cortex-a72 (NEON), cortex-a76 (SDOT) and max (I8MM), and
#                                classify on each, compared with this host's result; needs target/release/bike-edge
#   board/test-arm.sh whole      aarch64 (max) and armv7: all tests except those that start the program
#                                (WITH_PROGRAM=1: these too)
#
# The emulated test program prints NONCE, a value that is new in each run, so its output cannot be an old one.
# Install the tools with board/toolchain.sh setup.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
nonce=${NONCE:-$(date +%s%N)}
clip=tests/data/clip.mp4

# Parts of the names of numeric tests: kernels, operators and encoder goldens, retrieval, spotting, preprocessing,
# tokens, frame sampling. The others do not depend on the processor and are slow under emulation: reading files and
# streams, the command line, refusals of bad bundles. Each part must match at least one test.
numeric_unit=(encoder:: table:: preprocess:: pipeline::bike_sampling::)
numeric_integration=(crop_matches_ network_goldens:: spotting_ attributes:: tokenizer:: preprocess_any_picture:: independent_scoring::)

program_starters=(--skip command_line:: --skip text_tower:: --skip service:: --skip signals:: --skip watch:: --skip schemas:: --skip check_config:: --skip ffmpeg)

die() { echo "board/test-arm.sh: $*" >&2; exit 1; }

# Cross-builds the tests and the program for $1, and prints the paths of the unit and the integration test program.
build_tests() {
    local log
    log=$(mktemp)
    ./board/toolchain.sh cargo "$1" test --no-run --release --locked --lib --test integration 2>&1 | tee "$log" >&2
    sed -n 's/^ *Executable unittests src.lib.rs (\(.*\))$/\1/p; s/^ *Executable tests.integration.main.rs (\(.*\))$/\1/p' "$log"
    rm "$log"
}

# Runs tests of program $2 on processor $1 and prints the result line, or the whole output if a test fails. Further
# arguments select tests by parts of their names, or are options of the test program.
run_tests() {
    local cpu=$1 program=$2 log part tests
    shift 2
    if [[ ${1:-} != -* ]]; then
        tests=$(./board/toolchain.sh run "$cpu" "$program" --list)
        for part; do grep -q "$part.*: test$" <<<"$tests" || die "no test of $(basename "$program") is named $part"; done
    fi
    log=$(mktemp)
    if ! ./board/toolchain.sh run "$cpu" "$program" "$@" >"$log" 2>&1; then
        cat "$log"
        die "$(basename "$program") failed on $cpu"
    fi
    grep -q '^test result: ok. [1-9]' "$log" || { cat "$log"; die "no test of $(basename "$program") ran"; }
    echo "$cpu $(basename "$program"): $(sed -n 's/^test result: //p' "$log")"
    rm "$log"
}

# Checks that test program $3 chooses kernel $2 on processor $1, from what it prints itself.
check_kernel() {
    local cpu=$1 kernel=$2 program=$3 out
    out=$(NONCE=$nonce BIKE_EDGE_EXPECTED_KERNEL=$kernel ./board/toolchain.sh run "$cpu" "$program" --exact --nocapture \
        encoder::ops::tests::the_chosen_kernel_equals_the_portable_one_bit_for_bit 2>&1) || { echo "$out"; die "the test of kernel $kernel failed on $cpu"; }
    echo "$cpu"
    grep -E "^(kernel|binary-sha256|nonce)=" <<<"$out"
    grep -q "^kernel=$kernel .* ok\$" <<<"$out" || die "$cpu ran another kernel than $kernel"
    grep -qxF "nonce=$nonce" <<<"$out" || die "the output of $cpu has another nonce than this run"
    grep -qxF "binary-sha256=$(sha256sum <"$program" | cut -d' ' -f1)" <<<"$out" || die "$cpu ran another program"
}

# Classifies a clip with program $3 on processor $1, and checks that it uses kernel $2 and agrees with this host's program.
check_classify() {
    local cpu=$1 kernel=$2 program=$3 folder
    folder=$(mktemp -d)
    "$target/release/bike-edge" classify "$clip" --json --raw >"$folder/host.json"
    ./board/toolchain.sh run "$cpu" "$program" classify "$clip" --json --raw -vv >"$folder/$cpu.json" 2>"$folder/log" ||
        { cat "$folder/log"; die "classify failed on $cpu"; }
    grep -q "visual.onnx: kernel $kernel," "$folder/log" || { cat "$folder/log"; die "classify on $cpu did not use kernel $kernel"; }
    python3 board/same_answers.py "$folder/host.json" "$folder/$cpu.json"
    rm -r "$folder"
}

numeric() {
    local programs cpu kernel
    [ -x "$target/release/bike-edge" ] || die "$target/release/bike-edge not found; run make build"
    mapfile -t programs < <(build_tests aarch64)
    [ ${#programs[@]} = 2 ] || die "the tests could not be built"
    for cpu in cortex-a72:neon cortex-a76:sdot max:i8mm; do
        kernel=${cpu#*:} cpu=${cpu%:*}
        check_kernel "$cpu" "$kernel" "${programs[0]}"
        run_tests "$cpu" "${programs[0]}" "${numeric_unit[@]}"
        run_tests "$cpu" "${programs[1]}" "${numeric_integration[@]}"
        check_classify "$cpu" "$kernel" "$target/aarch64-unknown-linux-gnu/release/bike-edge"
    done
}

whole() {
    local programs program pair binfmt skip
    for pair in aarch64:max armv7:cortex-a15; do
        # Tests that start the program take hours, and need a host kernel that runs ARM programs through qemu.
        binfmt=qemu-${pair%%:*} skip=()
        [ "${pair%%:*}" != armv7 ] || binfmt=qemu-arm
        if [ -z "${WITH_PROGRAM:-}" ]; then
            skip=("${program_starters[@]}")
            echo "${pair%%:*}: skipping tests that start the program or ffmpeg; WITH_PROGRAM=1 runs them (hours)"
        elif [ ! -e "/proc/sys/fs/binfmt_misc/$binfmt" ]; then
            skip=("${program_starters[@]}")
            echo "${pair%%:*}: skipping tests that start the program or ffmpeg: qemu is not registered in" \
                "/proc/sys/fs/binfmt_misc; install qemu-user-binfmt"
        fi
        mapfile -t programs < <(build_tests "${pair%:*}")
        [ ${#programs[@]} = 2 ] || die "the tests could not be built"
        for program in "${programs[@]}"; do run_tests "${pair#*:}" "$program" "${skip[@]}"; done
    done
}

case ${1:-} in
    numeric) numeric ;;
    whole) whole ;;
    *) sed -n '2,9s/^# \{0,1\}//p' board/test-arm.sh; exit 2 ;;
esac
