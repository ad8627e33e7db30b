"""What jobs printed, as it was or as it comes."""

from __future__ import annotations

import sys
from codecs import getincrementaldecoder
from typing import Any

import click

from cli import printing
from cli.options import FINAL, connect_existing, example, find_again, job_id_argument


@click.command(epilog=example("logs job1 --follow"))
@job_id_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.option("--attempt", "--run", "run", type=click.IntRange(1), help="Which run. Default: the newest.")
@click.option("--stream", type=click.Choice(["stdout", "stderr", "both"]), default="both", help="Default: both.")
@click.option("--raw", "printer", flag_value="raw", default="text", help="Every byte as it is, on a terminal too.")
def logs(job_id: str, follow: bool, run: int | None, stream: str, printer: str) -> None:
    """Print what a job printed; on a terminal its colours pass, and nothing else that would steer it."""
    from engine import queries

    connect_existing()
    streams = ("stdout", "stderr") if stream == "both" else (stream,)
    made: Any = {"raw": _Raw, "text": _Text}[printer]
    printers = {name: made(err=name != streams[0]) for name in streams}
    attempt = queries.attempt(queries.find(job_id), run)
    if follow:
        from cli import inside

        inside.refuse_follow(job_id, run)
        _follow(job_id, run, printers)
        return
    for name in streams:
        printers[name].show(_Tail().fresh(queries.output(attempt, name)), True)


def _follow(job_id: str, run: int | None, printers: dict[str, Any]) -> None:
    """Print new output about three times a second until the job is final, run after run; or until `run` has ended."""
    import time

    from engine import queries

    at = run or max(queries.find(job_id).run, 1)
    tails = {name: _Tail() for name in printers}
    while True:
        job = find_again(job_id)
        attempt = queries.attempt(job, at) if job.run >= at else None
        ended = attempt is not None and attempt.finished_at is not None
        for name, tail in tails.items():
            printers[name].show(tail.fresh(queries.output(attempt, name)), ended)
        if ended and run is None and job.run > at:
            at, tails = at + 1, {name: _Tail() for name in printers}
        elif job.state in FINAL or (ended and run is not None):
            return
        else:
            time.sleep(0.3)


class _Tail:
    """How much of one stream of one run was printed already."""

    def __init__(self) -> None:
        self.seen = 0

    def fresh(self, output: Any) -> bytes:
        """What was printed since the last call, with a line in the place of what is not kept."""
        head_end = len(output.data) if output.cut is None else output.cut
        tail_at = head_end + output.omitted
        missed = max(0, tail_at - max(self.seen, head_end))
        data = output.data[self.seen : head_end]
        gap = f"\n… {missed:,} bytes left out …\n".encode() if missed else b""
        rest = output.data[head_end + max(0, self.seen - tail_at) :]
        self.seen = output.total
        return data + gap + rest


class _Raw:
    """Prints bytes as they are."""

    def __init__(self, err: bool):
        self.stream = sys.stderr if err else sys.stdout

    def show(self, data: bytes, ended: bool) -> None:
        self.stream.flush()
        self.stream.buffer.write(data)
        self.stream.buffer.flush()


class _Text:
    """Prints text; a character or a colour that is only half there waits for its rest until the run has ended."""

    def __init__(self, err: bool):
        self.err = err
        self.half = ""
        self.decoder = getincrementaldecoder("utf-8")("replace")

    def show(self, data: bytes, ended: bool) -> None:
        from engine import visible

        text = self.half + self.decoder.decode(data, ended)
        self.half = "" if ended else visible.half_sgr(text)
        click.echo(text.removesuffix(self.half), nl=False, err=self.err)
        if ended:
            click.echo(printing.colours_end(text), nl=False, err=self.err)


COMMANDS = (logs,)
