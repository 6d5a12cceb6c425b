#!/usr/bin/env bash
# Builds for ARM boards and runs the result under emulation, on a Debian or Ubuntu x86-64 host without a board.
#
#   board/toolchain.sh setup  [aarch64|armv7 ...]   install missing packages, default aarch64
#   board/toolchain.sh env     aarch64|armv7        print the environment of a cross build: eval "$(board/toolchain.sh env aarch64)"
#   board/toolchain.sh cargo   aarch64|armv7 ARGS   run cargo ARGS with that environment and target
#   board/toolchain.sh run     CPU PROGRAM ARGS     run PROGRAM emulated; CPU: cortex-a72 (NEON), cortex-a76 (SDOT),
#                                                   max (I8MM), for armv7 cortex-a7 or cortex-a15
#
# If rustup has the target or can download it, its compiler is used. Otherwise Debian's rustc-web, unpacked below
# $BIKE_EDGE_TOOLS (default /opt/bike-edge-tools), builds for ARM with the installed cargo; it comes from the
# distribution's signed archive.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=${BIKE_EDGE_TOOLS:-/opt/bike-edge-tools}

die() { echo "board/toolchain.sh: $*" >&2; exit 1; }

# Sets rust (target), deb (Debian architecture), gnu (triplet) for the board architecture $1.
architecture() {
    case $1 in
        aarch64) rust=aarch64-unknown-linux-gnu deb=arm64 gnu=aarch64-linux-gnu ;;
        armv7) rust=armv7-unknown-linux-gnueabihf deb=armhf gnu=arm-linux-gnueabihf ;;
        *) die "unknown architecture $1: aarch64 or armv7" ;;
    esac
}

# May fail: Debian's compiler is used then.
add_rustup_target() { command -v rustup >/dev/null && timeout 180 rustup -q target add "$rust" >/dev/null 2>&1; }

has_rustup_target() { command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$rust"; }

retry() {
    local i
    for i in 1 2 3; do "$@" && return; sleep $((i * 10)); done
    die "failed three times: $*; if apt reports \`Mirror sync in progress\`, try again later, \
else check that the archive can be reached"
}

# Runs apt-get with a state of its own, so that the host's architectures and lists do not change, and an architecture
# whose index cannot be downloaded does not affect another.
private_apt() {
    local state=$tools/apt-$deb
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    [ -e "$state/status" ] || : >"$state/status"
    apt-get -q -o APT::Architectures::=amd64 -o APT::Architectures::="$deb" \
        -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache::archives="$state/archives" -o APT::Sandbox::User=root "$@"
}

setup() {
    local name rust deb gnu packages=() missing=()
    for name in "${@:-aarch64}"; do
        architecture "$name"
        packages+=("gcc-$gnu" "libc6-dev-$deb-cross")
        # openh264 is C++.
        packages+=("g++-$gnu")
    done
    packages+=(qemu-user-static libclang-dev)
    for name in "${packages[@]}"; do dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name"); done
    "$here/install-packages.sh" "${missing[@]}"
    for name in "${@:-aarch64}"; do
        architecture "$name"
        if has_rustup_target || { add_rustup_target && has_rustup_target; }; then
            echo "$name: $rust from rustup"
        else
            rust_from_debian
            echo "$name: $rust from Debian's rustc-web, in $tools"
        fi
    done
}

# Unpacks Debian's newest rustc-web for this host, with the standard library of $rust.
rust_from_debian() {
    local sysroot=$tools/rust folder libraries
    [ -d "$sysroot/usr/lib/rustlib/$rust/lib" ] && return
    retry private_apt update
    folder=$(mktemp -d)
    mapfile -t libraries < <(private_apt install -s --no-install-recommends rustc-web 2>/dev/null |
        awk '/^Inst (libllvm|libstd-rust-web)/ { print $2 }')
    (cd "$folder" && retry private_apt download rustc-web libstd-rust-web-dev "libstd-rust-web-dev:$deb" "${libraries[@]}")
    mkdir -p "$sysroot"
    for package in "$folder"/*.deb; do dpkg-deb -x "$package" "$sysroot"; done
    rm -r "$folder"
    [ -d "$sysroot/usr/lib/rustlib/$rust/lib" ] || die "the archive's rustc-web has no standard library for $rust"
}

environment() {
    local rust deb gnu upper
    architecture "$1"
    upper=$(echo "$rust" | tr 'a-z-' 'A-Z_')
    echo "export CARGO_BUILD_TARGET=$rust"
    echo "export CARGO_TARGET_${upper}_LINKER=$gnu-gcc CC_${rust//-/_}=$gnu-gcc CXX_${rust//-/_}=$gnu-g++ AR_${rust//-/_}=$gnu-ar"
    # The headers that bindgen reads for v4l.
    echo "export BINDGEN_EXTRA_CLANG_ARGS_${rust//-/_}=-I/usr/$gnu/include"
    has_rustup_target || echo "export RUSTC=$tools/rust/usr/bin/rustc LD_LIBRARY_PATH=$tools/rust/usr/lib/x86_64-linux-gnu:$tools/rust/usr/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
}

emulate() {
    local cpu=$1 program=$2
    shift
    # Set as variables rather than options, so that the programs it starts inherit them.
    export QEMU_CPU=$cpu
    # Bytes 18 and 19 of an ELF file name its machine.
    case $(od -An -tx2 -j18 -N2 "$program" | tr -d ' ') in
        00b7) QEMU_LD_PREFIX=/usr/aarch64-linux-gnu exec qemu-aarch64-static "$@" ;;
        0028) QEMU_LD_PREFIX=/usr/arm-linux-gnueabihf exec qemu-arm-static "$@" ;;
        *) die "$program is not a program for ARM" ;;
    esac
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
    setup) setup "$@" ;;
    env) environment "${1:?architecture}" ;;
    cargo) eval "$(environment "${1:?architecture}")"; shift; exec cargo "$@" ;;
    run) emulate "$@" ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
