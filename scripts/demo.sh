#!/bin/sh
# Everything the command line does, shown on a database of its own that is removed at the end.
# Ends with status 1 at the first thing that is not as it should be.
set -eu
cd "$(dirname "$0")/.."

python=.venv/bin/python
[ -x "$python" ] || python=python3
if ! "$python" -c 'import click, peewee' 2>/dev/null; then
    echo "QueueCTL is not installed here yet; run: make install" >&2
    exit 1
fi
folder=$(mktemp -d)
export QUEUECTL_DB="$folder/queue.db"

queuectl() { "$python" queuectl.py "$@"; }

clean_up() {
    trap - EXIT
    trap '' INT TERM # another Ctrl-C does not leave workers behind
    queuectl worker stop --now >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT TERM

title() { printf '\n== %s\n' "$*"; }
show() { printf '$ queuectl %s\n' "$*"; queuectl "$@"; }

# field ID NAME: one field of a job
field() { queuectl show "$1" --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }

# expect WHAT ACTUAL WANTED
expect() {
    if [ "$2" = "$3" ]; then
        printf '   ok: %s is %s\n' "$1" "$2"
    else
        printf '   NOT AS IT SHOULD BE: %s is %s, not %s\n' "$1" "$2" "$3"
        exit 1
    fi
}

title "1. A job runs and its output is kept"
show enqueue '{"id":"ok1","command":"echo ok"}'
show worker start --count 1
queuectl wait ok1 --timeout 20
expect "state of ok1" "$(field ok1 state)" completed
expect "what it printed" "$(queuectl logs ok1)" ok

title "2. A job that fails is retried after 2 s and 4 s, then it is in the DLQ"
show enqueue '{"id":"bad1","command":"bash -c \"exit 1\"","max_retries":2}'
queuectl wait bad1 --timeout 40 || true
show dlq list --no-json
expect "attempts of bad1" "$(field bad1 attempts)" 3
expect "state of bad1" "$(field bad1 state)" dead

title "3. Three jobs of two seconds on three workers run side by side, once each"
show worker stop
for n in 1 2 3; do queuectl enqueue "{\"id\":\"sleep$n\",\"command\":\"echo begin >> $folder/ran; sleep 2; echo end >> $folder/ran\"}"; done
show worker start --count 3
queuectl wait sleep1 sleep2 sleep3 --timeout 30
expect "what they noted" "$(tr '\n' ' ' <"$folder/ran")" "begin begin begin end end end "

title "4. A command that does not exist fails gracefully, and the worker lives on"
show enqueue '{"id":"nope","command":"__not_a_command__","max_retries":1}'
queuectl wait nope --timeout 30 || true
expect "state of nope" "$(field nope state)" dead
expect "its exit code" "$(field nope return_code)" 127
show dlq retry nope
queuectl wait nope --timeout 30 || true

title "5. Workers stop gracefully; jobs and settings outlive them, a job cut off runs again"
show config set max_retries_default 5
queuectl enqueue "{\"id\":\"cut\",\"command\":\"[ -e $folder/second ] && exit; touch $folder/second; sleep 60\"}"
until [ -e "$folder/second" ]; do sleep 0.1; done
show worker stop --now
expect "state of the job that was cut off" "$(field cut state)" pending
expect "the setting" "$(queuectl config get max_retries_default --json | tr -d ' \n')" '{"max_retries_default":5}'
show worker start --count 1
queuectl wait cut --timeout 30
expect "state of the job that was cut off" "$(field cut state)" completed
show worker stop
show status --no-json

title "All of it is as it should be."
