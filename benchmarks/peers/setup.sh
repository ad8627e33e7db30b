#!/bin/sh
# Make build/peers, an environment of its own for the others that are measured. Does nothing when that is done already.
set -eu

cd "$(dirname -- "$0")/../.."
. scripts/find_python.sh

wanted=benchmarks/peers/requirements.txt
place=build/peers
if cmp -s "$wanted" "$place/installed.txt"; then exit 0; fi

find_python
echo "Installing the packages of $wanted into $place ..." >&2
mkdir -p build
"$found_python" -m venv --clear "$place"
"$place/bin/python" -m pip install --quiet --no-input --disable-pip-version-check -r "$wanted"
cp "$wanted" "$place/installed.txt"
