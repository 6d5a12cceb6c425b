#!/bin/sh
# Prepares Debian or Ubuntu for a build: checks that Rust is new enough, and installs a C++ compiler (OpenH264 is built
# from source), libclang (bindgen reads the kernel's camera headers with it) and nasm (faster H.264) if they are missing.
set -eu
cd "$(dirname "$0")/.."

log() { printf '%s\n' "$*" >&2; }

required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
    log "setup: Rust not found; install Rust $required or newer from https://rustup.rs and run this again"
    exit 1
fi
installed=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$required" "$installed" | sort -V | head -n 1)" != "$required" ]; then
    log "setup: Rust $installed is older than the required $required; run \`rustup update stable\`"
    log "       (Debian's own Rust packages are too old: install rustup from https://rustup.rs)"
    exit 1
fi

# bindgen searches LIBCLANG_PATH, the dynamic linker's cache and the folders of LLVM. libclang-cpp, which some packages
# bring without libclang, is another library.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    ldconfig -p 2>/dev/null | grep -Eq 'libclang(-[0-9.]+)?\.so' && return
    for library in /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* \
        /usr/lib64/libclang.so* /usr/lib64/libclang-[0-9]*.so*; do
        [ -e "$library" ] && return
    done
    return 1
}

missing=""
command -v c++ >/dev/null 2>&1 && command -v cc >/dev/null 2>&1 || missing="build-essential"
case "$(uname -s)" in
    Linux) has_libclang || missing="$missing libclang-dev" ;;
esac
# shellcheck disable=SC2086  # a list of package names
[ -z "$missing" ] || board/install-packages.sh $missing || exit 1

case "$(uname -m)" in
    x86_64)
        command -v nasm >/dev/null 2>&1 || board/install-packages.sh nasm ||
            log "setup: continuing without nasm; H.264 will decode more slowly"
        ;;
esac
