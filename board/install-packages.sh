#!/bin/sh
# Installs Debian packages:   board/install-packages.sh PACKAGE...
# Uses sudo when not run as root. If that is not possible, prints one sentence that names the packages and exits with 1.
set -eu

fail() { printf 'install-packages: %s\n' "$*" >&2; exit 1; }

[ $# -gt 0 ] || exit 0
command -v apt-get >/dev/null 2>&1 || fail "apt-get not found; install these with your system's package manager: $*"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "root is needed; run as root: apt-get install -y $*"
    sudo=sudo
fi
printf 'install-packages: installing Debian packages: %s\n' "$*" >&2
# A machine that has just booted may be installing its own updates, so this waits for apt's lock.
install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >&2; }
install "$@" && exit 0
for pause in 10 20 30; do
    { $sudo apt-get -q -o DPkg::Lock::Timeout=300 update >&2 && install "$@"; } && exit 0
    sleep $pause
done
fail "apt-get could not install $*; if it reports \`Mirror sync in progress\`, try again later, else check that the archive can be reached"
