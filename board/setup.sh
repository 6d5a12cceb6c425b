#!/bin/sh
# Sees to what a build needs on Debian and Ubuntu: a Rust that is new enough, a C++ compiler (OpenH264 is built from
# source), libclang (reads the kernel's headers for cameras) and, for faster H.264, nasm. Installs Debian packages after naming them; asks for sudo where it must.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
    say "setup: no Rust here; install it from https://rustup.rs (Rust $needed or newer) and run this again"
    exit 1
fi
have=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" != "$needed" ]; then
    say "setup: Rust $have is older than the $needed this project needs; run \`rustup update stable\`"
    say "       (a Rust from Debian's own packages is too old: install rustup from https://rustup.rs)"
    exit 1
fi

packages=""
command -v c++ >/dev/null 2>&1 && command -v cc >/dev/null 2>&1 || packages="$packages build-essential"
# Found where the build looks for it: LIBCLANG_PATH, the linker's list, or a folder of LLVM's. libclang-cpp, which comes
# with some packages alone, is another library.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || ldconfig -p 2>/dev/null | grep -Eq 'libclang(-[0-9.]+)?\.so' ||
        ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* \
            /usr/lib64/libclang.so* /usr/lib64/libclang-[0-9]*.so* 2>/dev/null | grep -q .
}
case "$(uname -s)" in
    Linux) has_libclang || packages="$packages libclang-dev" ;;
esac
case "$(uname -m)" in
    x86_64) command -v nasm >/dev/null 2>&1 || packages="$packages nasm" ;;
esac
[ -z "$packages" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    say "setup: please install these by your system's own means:$packages"
    case "$packages" in *build-essential* | *libclang*) exit 1 ;; *) exit 0 ;; esac
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        say "setup: please run as root: apt-get install -y$packages"
        case "$packages" in *build-essential* | *libclang*) exit 1 ;; *) exit 0 ;; esac
    fi
    sudo="sudo"
fi
say "setup: installing Debian packages:$packages"
# shellcheck disable=SC2086  # a list of words
# A machine that has just started may be installing its own updates: they are waited for.
install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages >&2; }
install || { $sudo apt-get update >&2 && install; } || {
    case "$packages" in
        *build-essential* | *libclang*) say "setup: apt-get could not install$packages"; exit 1 ;;
        *) say "setup: going on without$packages; H.264 will decode more slowly" ;;
    esac
}
