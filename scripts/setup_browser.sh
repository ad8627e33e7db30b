#!/bin/sh
# Make sure that the browser tests have a browser: the one that is there, Playwright's own, or the system's Chromium.
# Does nothing when the browser found last time is still there. Fails rather than leave the tests without one.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

python=.venv/bin/python
found=.venv/.browser

# Prints the path of a browser that was started once, or why there is none.
find_browser() {
    "$python" -m tests.browser.chromium
}

download_browser() {
    echo "No browser for the tests yet: downloading Playwright's Chromium ..." >&2
    PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT=10000 timeout 600 "$python" -m playwright install chromium \
        </dev/null >/dev/null 2>&1
}

if [ -z "${QUEUECTL_CHROMIUM-}" ] && [ -x "$(cat "$found" 2>/dev/null)" ]; then exit 0; fi

# Playwright is driven by a Node of its own, which needs this library; a small system has not got it.
"$python" -m playwright --version >/dev/null 2>&1 || sh scripts/apt_install.sh libatomic1

if path=$(find_browser 2>/dev/null); then
    :
elif download_browser && path=$(find_browser 2>/dev/null); then
    :
else
    echo "That does not work here: taking the system's Chromium ..." >&2
    # Its packages also bring the libraries that Playwright's own build may lack.
    sh scripts/apt_install.sh chromium fonts-liberation || true
    path=$(find_browser)
fi
echo "$path" >"$found"
