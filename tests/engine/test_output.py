"""Which line of what a command printed says why it failed."""

from __future__ import annotations

import pytest

from engine.output import Output

PYTHON = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    raise KeyError("x error")
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    connect()
psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "job_pkey", error 3
DETAIL:  Key (id)=(5) already exists.
"""
POSTGRES = """psql: error: connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?
"""
RSYNC = """rsync: [sender] link_stat "/x" failed: No such file or directory (2)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.2.7]
"""
RUST = """thread 'main' panicked at src/main.rs:5:9:
index out of bounds: the len is 3
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
JAVA = """Exception in thread "main" java.lang.IllegalStateException: no queue
\tat Main.run(Main.java:7)
Caused by: java.io.IOException: closed
\t... 3 more
"""


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n", "two"),
        ("  indented\n", "indented"),
        ("10%\r100%\r", "100%"),
        (PYTHON, 'psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "job_pkey", error 3'),
        (POSTGRES, POSTGRES.splitlines()[0]),
        (RSYNC, RSYNC.splitlines()[0]),
        (RUST, "thread 'main' panicked at src/main.rs:5:9: index out of bounds: the len is 3"),
        (JAVA, JAVA.splitlines()[0]),
        ("\x1b[31mERROR\x1b[0m disk is full\nsee the log\n", "ERROR disk is full"),
        ("sh: 1: foo: not found\n", "sh: 1: foo: not found"),
        ("Traceback (most recent call last):\n  File\nSystemExit\nbye\n", "bye"),
        ("error: " + "x" * 300, ("error: " + "x" * 300)[:200]),
        ("error:", "error:"),
    ],
)
def test_the_line_that_says_what_went_wrong_is_chosen(printed, line):
    assert Output(printed.encode()).failure_line() == line


def test_bytes_that_are_no_text_are_replaced():
    assert Output(b"error: caf\xe9\n").failure_line() == "error: caf\N{REPLACEMENT CHARACTER}"
