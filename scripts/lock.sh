#!/bin/sh
# Write requirements.txt and requirements-dev.txt from their .in files, for every platform, with the hash of every file.
# How to resolve is said in pyproject.toml. Usage: lock.sh [--upgrade | --upgrade-package NAME]
set -eu

cd "$(dirname -- "$0")/.."
python=.venv/bin/python

"$python" -m uv --version >/dev/null 2>&1 || "$python" -m pip install --quiet uv

# The second lock keeps to the versions of the first.
"$python" -m uv pip compile --quiet "$@" requirements.in --output-file requirements.txt
"$python" -m uv pip compile --quiet "$@" requirements-dev.in --constraints requirements.txt --output-file requirements-dev.txt
