# shellcheck shell=sh
# find_python: set found_python to a Python >= 3.11, or leave with a sentence. Sourced by the set-up.

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for found_python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$found_python"; then return 0; fi
    done
    echo "QueueCTL needs Python 3.11 or newer, and none was found. Install one, for example: sudo apt-get install python3" >&2
    exit 1
}
