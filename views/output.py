"""What the runs of a job printed: the parts that its page shows, what is new, downloads, and what changed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from engine import comparison, queries
from engine.errors import InvalidInput
from engine.output import Output
from models import Attempt
from views import ansi, answers, shared, tail

STREAMS = ("stdout", "stderr")

bp = Blueprint("output", __name__, url_prefix="/<job_id>")  # a part of views/jobs.py


def shown(attempt: Attempt | None, begins: dict[str, int | None]) -> dict[str, Any] | None:
    """What the page shows of a run's output; begins: where in a stream, None for its end. None without a run."""
    if attempt is None:
        return None
    ended = attempt.outcome != "running"
    streams = {name: _stream(queries.output(attempt, name), begins[name], ended) for name in STREAMS}
    return {
        "run": attempt.run,
        "ended": ended,
        "streams": streams,
        "follows": not ended and not any(begin is not None for begin in begins.values()),
    }


def begins() -> dict[str, int | None]:
    """The parts of the streams that the address asks for."""
    return {name: request.args.get(name, type=int) for name in STREAMS}


def _stream(output: Output, begin: int | None, ended: bool) -> dict[str, Any]:
    part = tail.newest(output, ended) if begin is None else tail.beginning(output, begin)
    return _printed(output) | {"part": part}


def _printed(output: Output) -> dict[str, Any]:
    """The bytes that were printed, and those that are not kept; gone: none of them is kept."""
    return {"total": output.total, "omitted": output.omitted, "gone": not output.data and output.total}


@bp.get("/tail")
@shared.paced
def follow(job_id: str) -> Any:
    """What a run has printed since the reader last looked."""
    job, attempt, run = _asked(job_id)
    ended = attempt is None or attempt.outcome != "running"
    parts, printed = {}, {}
    for name in STREAMS:
        offset, seen = _number(name), _number(f"{name}_seen")
        output = queries.output(attempt, name)
        if ended or output.total != seen:
            parts[name], printed[name] = tail.since(output, offset, ended), _printed(output)
    if not parts:
        return "", 204
    asks = {name: _next(parts[name]) if name in parts else _same(name) for name in STREAMS}
    return render_template(
        "jobs/_more_output.html", job_id=job.id, run=run, parts=parts, printed=printed, asks=asks, ended=ended
    )


def _next(part: tail.Part) -> tuple[int, int]:
    return part.end, part.seen


def _same(name: str) -> tuple[int, int]:
    return _number(name), _number(f"{name}_seen")


@bp.get("/earlier/<any(stdout, stderr):stream>")
def earlier(job_id: str, stream: str) -> str:
    """The rows before those that the page shows, for htmx to put on top."""
    job, attempt, run = _asked(job_id)
    part = tail.ending(queries.output(attempt, stream), _number("before"))
    return render_template("jobs/_earlier_output.html", job_id=job.id, run=run, stream=stream, part=part)


@bp.get("/line")
def line(job_id: str) -> Answer:
    """To the page that shows this line of a stream."""
    job, attempt, run = _asked(job_id)
    stream = request.args.get("stream")
    if stream not in STREAMS:
        raise InvalidInput("Say of which stream: stdout or stderr.", "stream")
    begin, number = tail.begin_of(queries.output(attempt, stream), _number("line"))
    where = {stream: begin, "run": run, "_anchor": f"{stream}-L{number}"}
    return redirect(url_for("jobs.show", job_id=job.id, **where), 303)  # type: ignore[arg-type]


@bp.get("/<any(stdout, stderr):stream>")
def download(job_id: str, stream: str) -> Response:
    """A stream as a file: every byte that is kept, or with as=text without colours and what was written over."""
    job, attempt, run = _asked(job_id)
    content = tail.raw(queries.output(attempt, stream))
    as_text = request.args.get("as") == "text"
    if as_text:
        content = ansi.plain(content.decode(errors="replace")).encode()
    answer = Response(content, mimetype="text/plain")
    name = f"{job.id}-{run or 0}.{stream}{'.txt' if as_text else '.log'}".replace(":", "_")
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


@bp.get("/diff")
def diff(job_id: str) -> str:
    """What changed in the output since another run: the one before (or `against` its number), or the last success."""
    job, attempt, run = _asked(job_id)
    against = request.args.get("against", "previous")
    found = comparison.other(job, attempt, against)
    shows: dict[str, Any] = {"job_id": job.id, "run": run, "against": against, "other": None, "most": comparison.LINES}
    if attempt is not None and found is not None:
        shows["other"] = {"job_id": found.job.id, "run": found.attempt.run, "is_same_job": found.job.pk == job.pk}
        shows["streams"] = {name: _changes(found.attempt, attempt, name) for name in STREAMS}
        shows["facts"] = comparison.facts(found.attempt, attempt)
    return (
        render_template("jobs/_comparison.html", **shows)
        if answers.wants_piece()
        else answers.page("jobs/diff.html", **shows)
    )


def _changes(old: Attempt, new: Attempt, stream: str) -> comparison.Changes:
    texts = (ansi.plain(queries.output(run, stream).text()) for run in (old, new))
    return comparison.changes(*texts)


def _asked(job_id: str) -> tuple[Any, Attempt | None, int | None]:
    job = queries.find(job_id)
    attempt = queries.attempt(job, request.args.get("run", type=int))
    return job, attempt, attempt.run if attempt else None


def _number(name: str) -> int:
    return max(0, request.args.get(name, 0, type=int))
