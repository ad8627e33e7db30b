#!/bin/sh
# Make .venv and install what the lock says, and the project itself. Does nothing when that is done already.
# Usage: setup_venv.sh run|dev      PYTHON=... chooses the interpreter
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
. scripts/find_python.sh

case ${1-} in
run) lock=requirements.txt ;;
dev) lock=requirements-dev.txt ;;
*)
    echo "Usage: setup_venv.sh run|dev" >&2
    exit 2
    ;;
esac

venv=.venv
python=$venv/bin/python
unfinished=.venv-unfinished
installed=$venv/.installed-$1
made_in=$venv/.made-in

# All that an install depends on. The folder counts too: the commands in .venv name it.
wanted() {
    { echo "$root" && cat "$lock" pyproject.toml; } | sha256sum
}

is_done() {
    [ ! -e "$unfinished" ] && [ -x "$python" ] && [ "$(cat "$installed" 2>/dev/null)" = "$(wanted)" ]
}

# An interrupted set-up may have left half a package, and a moved one names its old folder: both start again.
is_usable() {
    [ ! -e "$unfinished" ] && "$python" -m pip --version >/dev/null 2>&1 &&
        [ "$(cat "$made_in" 2>/dev/null || echo "$root")" = "$root" ]
}

make_venv() {
    find_python
    if ! "$found_python" -c 'import ensurepip, venv' 2>/dev/null; then
        sh scripts/apt_install.sh "$("$found_python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    echo "Making .venv with $("$found_python" --version) ..." >&2
    "$found_python" -m venv --clear "$venv"
}

if is_done; then exit 0; fi

# One set-up at a time. Who waited finds the work done.
if command -v flock >/dev/null 2>&1; then
    exec 9<pyproject.toml
    flock 9
    if is_done; then exit 0; fi
fi

is_usable || make_new=yes
touch "$unfinished"
if [ -n "${make_new-}" ]; then make_venv; fi
echo "$root" >"$made_in"

echo "Installing the packages of $lock ..." >&2
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0
"$python" -m pip install --quiet --no-input --no-deps --require-hashes -r "$lock"
rm -f "$unfinished"
"$python" -m pip install --quiet --no-input --no-deps --no-index --no-build-isolation --editable .
wanted >"$installed"
