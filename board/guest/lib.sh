# shellcheck shell=bash disable=SC2034  # sourced: the test that sources it uses the variables set here
# Boots Debian's kernel in an emulator for test-camera/run.sh and test-service/run.sh, which set test_name and source this.
#
# $BIKE_EDGE_TOOLS (default /opt/bike-edge-tools) caches downloads, KEEP=FILE stores the guest's console, and the
# guest prints NONCE, a value that is new in each run, which shows that the console is not an old one.

: "${test_name:?}"
guest=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() { echo "$test_name: $*" >&2; exit 1; }

# prepare_guest ARCHITECTURE [COMMAND:PACKAGE...]
# Installs the emulator and the packages of missing commands, downloads the kernel, and sets fetched (the folder with
# kernel/ and guest/), work (a temporary folder), log (the guest's console) and nonce.
prepare_guest() {
    local arch=$1 requirement missing=()
    shift
    tools=${BIKE_EDGE_TOOLS:-/opt/bike-edge-tools}
    nonce=${NONCE:-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')}
    case $nonce in *[!A-Za-z0-9._-]*) die "NONCE: invalid character; use letters, digits, dots, dashes and underscores" ;; esac
    case $arch in
        arm64) qemu=(qemu-system-aarch64 -M virt -cpu cortex-a76) console=ttyAMA0 emulator_package=qemu-system-arm ;;
        amd64) qemu=(qemu-system-x86_64 -M q35 -cpu max) console=ttyS0 emulator_package=qemu-system-x86 ;;
        *) die "unknown architecture $arch: arm64 or amd64" ;;
    esac
    for requirement in "${qemu[0]}:$emulator_package" cpio:cpio xz:xz-utils python3:python3-minimal "$@"; do
        command -v "${requirement%%:*}" >/dev/null || missing+=("${requirement#*:}")
    done
    "$guest/../install-packages.sh" "${missing[@]}"
    fetched=$tools/camera-guest-$arch
    "$guest/fetch-kernel.sh" "$fetched" "$arch"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    log=${KEEP:-$work/console}
}

# set_emulator KERNEL_ARGUMENTS [QEMU_ARGUMENT...]
# Sets emulator to the command that boots the kernel with $work/initramfs.gz. The guest's clock counts instructions, 2 ns
# each, so that a busy host makes the test slower but does not starve the camera or hang the service.
set_emulator() {
    local arguments=$1
    shift
    emulator=("${qemu[@]}" -icount shift=1 -smp 2 -m 1024 -nographic -nodefaults -serial mon:stdio -no-reboot "$@"
        -kernel "$fetched"/kernel/boot/vmlinuz-* -initrd "$work/initramfs.gz"
        -append "console=$console quiet loglevel=1 panic=-1 nonce=$nonce $arguments")
}

# check_console CHECKS.py SHA256: runs the checks on the guest's console; SHA256 is that of the tested binary.
check_console() { PYTHONPATH=$guest python3 -B "$1" "$log" --nonce "$nonce" --sha256 "$2"; }
