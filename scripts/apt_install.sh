#!/bin/sh
# Install Debian packages as root or by sudo that asks no password. Fails with one sentence when neither is possible.
# Usage: apt_install.sh PACKAGE...
set -eu

fail() {
    echo "$1" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 || fail "Install $* with the package manager of this system, then try again."

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    fail "Run this once, then try again: sudo apt-get install $*"
fi

echo "Installing $* ..." >&2
# shellcheck disable=SC2086 # as_root is empty or two words
{
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
} </dev/null >/dev/null || fail "apt-get could not install $*."
