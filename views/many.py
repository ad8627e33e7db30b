"""Many jobs at once: pasted or uploaded, all stored or none, with every mistake told at its line."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for

import models
from engine import batch, config, jobs, queries
from engine.batch import Entry, Mistake
from engine.errors import InvalidInput, Refused
from engine.wording import plural
from models import Job
from views import answers, job_form
from workers import precheck

MOST = 10_000  # jobs in one transaction; workers wait for it
FILE_MB = 8
SHOWN = 20
FOR_ALL = ("queue", "priority", "max_retries", "timeout_sec", "run_at", "cwd", "tags")
_SHOWN_AGAIN = 256 * 1024  # characters of a file that go into the field, to be mended there

_ALREADY = "were enqueued by this form already; they are not enqueued twice."

bp = Blueprint("many", __name__, url_prefix="/many")


@bp.url_value_preprocessor
def allow_a_file(endpoint: str | None, _: Any) -> None:
    """More than other forms may carry. It must be said before the form's token is looked for, which reads it."""
    if (request.content_length or 0) > FILE_MB * 1024 * 1024:
        abort(413, f"A file of jobs may have at most {FILE_MB} MB; split it, or use queuectl enqueue --file.")
    request.max_content_length = request.max_form_memory_size = FILE_MB * 1024 * 1024


@bp.get("")
def index() -> Any:
    return _page(_Sent())


@bp.post("")
def store() -> Any:
    sent = _Sent.received()
    if sent.mistakes:
        return _page(sent), 422
    if _was_sent_before(sent):
        return _show(sent, _ALREADY)
    _look(sent)
    if "anyway" in request.form:
        sent.problems = []
    if not (sent.mistakes or sent.problems):
        try:
            jobs.enqueue_many(job for _, job in sent.entries)
        except Refused as error:
            sent.mistakes = [Mistake("", str(error), "id")]
        else:
            return _show(sent, "are enqueued. Here are just these.")
    if _was_sent_before(sent):  # in the same moment, and that is what was amiss
        return _show(sent, _ALREADY)
    return _page(sent), 422


@bp.post("/check")
def check() -> Any:
    """Store nothing; say what is amiss."""
    sent = _Sent.received()
    if not sent.mistakes:
        _look(sent)
    if answers.wants_piece():
        return render_template("enqueue/_report.html", **_report(sent), checked=True)
    return _page(sent, checked=True)


class _Sent:
    """What the form carried: the text and what was read out of it."""

    def __init__(self) -> None:
        self.form = "lines"
        self.text = ""
        self.for_all = dict.fromkeys(job_form.FIELDS, "")
        self.token = job_form.token()
        self.tag = ""
        self.is_file = False
        self.entries: list[Entry] = []
        self.mistakes: list[Mistake] = []  # what forbids to store them
        self.problems: list[Mistake] = []  # what will go wrong with them
        self.read = 0  # how many of their commands the shell was asked about
        self.wrong: dict[str, str] = {}  # by field of the form

    @classmethod
    def received(cls) -> _Sent:
        sent = cls()
        sent.form = request.form.get("form", "")
        sent.text = request.form.get("jobs", "").replace("\r\n", "\n")
        sent.for_all |= {name: text for name, text in job_form.values(request.form).items() if name in FOR_ALL}
        try:
            sent._read()
        except InvalidInput as error:
            sent.mistakes = [Mistake("", str(error))]
        return sent

    def _read(self) -> None:
        file = request.files.get("file")
        if file and file.filename:
            if self.text.strip():
                raise InvalidInput("Paste the jobs or choose a file, one of the two.")
            self.is_file = True
            self.text = batch.decode(file.read(), "The file").replace("\r\n", "\n")
        if self.form not in batch.FORMS:
            raise InvalidInput("Choose what the text is: plain lines or JSON.")
        for_all, self.wrong = job_form.read(self.for_all | {"command": ":"}, models.now_ms())
        if self.wrong:
            raise InvalidInput("What is said for all of them is wrong; see below.")
        del for_all["command"]
        found = batch.read(self.text, self.form, MOST)
        name = job_form.name(self.token, [for_all, found.jobs])
        self.tag = f"batch-{name}"
        self.entries = [(place, self._whole(job, for_all)) for place, job in found.jobs]
        for _, job in self.entries[:1]:
            job["id"] = name if job.get("id") is None else job["id"]
        wrong = [*found.mistakes, *batch.mistakes(self.entries, models.now_ms())]
        self.mistakes = sorted(wrong, key=lambda mistake: int(mistake.place.rpartition(" ")[2] or 0))
        if not found.jobs and not found.mistakes:
            raise InvalidInput("There is no job in it.")

    def _whole(self, job: dict[str, Any], for_all: dict[str, Any]) -> dict[str, Any]:
        """The job with what it does not say itself; tags are added to its own."""
        tags = job.get("tags") or []
        whole = for_all | job
        if isinstance(tags, list):  # what is none is told as a mistake
            whole["tags"] = [*tags, *for_all.get("tags", ()), self.tag]
        return whole


def _look(sent: _Sent) -> None:
    """Note what forbids to store them, and what will go wrong with them."""
    sent.mistakes = batch.taken(sent.entries)
    sent.problems, sent.read = precheck.unreadable(sent.entries)
    if sent.form == "lines" and sent.entries[0][1]["command"].lstrip().startswith(('{"', "[{")):
        sent.problems.insert(0, Mistake("", "This looks like JSON, but it was said to be plain lines."))


def _was_sent_before(sent: _Sent) -> bool:
    """Whether these are stored: the first has an id in any case, and its tag is of this form and this text alone."""
    first = Job.get_or_none(Job.id == sent.entries[0][1]["id"])
    return bool(first and sent.tag in json.loads(first.tags or "[]"))


def _show(sent: _Sent, sentence: str) -> Any:
    count = len(sent.entries)
    verb = sentence if count != 1 else sentence.replace("were ", "was ").replace("are ", "is ", 1)
    answers.say_next(f"{plural(count, 'job')} {verb}", link=("Enqueue more", url_for("enqueue.many.index")))
    return redirect(url_for("jobs.index", tag=sent.tag), 303)


def _page(sent: _Sent, checked: bool = False) -> str:
    is_too_long = sent.is_file and len(sent.text) > _SHOWN_AGAIN
    return answers.page(
        "enqueue/many.html",
        **_report(sent),
        checked=checked,
        form=sent.form,
        text="" if is_too_long else sent.text,
        is_too_long=is_too_long,
        values=sent.for_all,
        token=sent.token,
        more=any(sent.for_all.values()),
        most=MOST,
        file_mb=FILE_MB,
        queues=queries.queues(),
        settings=config.get_all(),
        workers=len(queries.workers()),
    )


def _report(sent: _Sent) -> dict[str, Any]:
    wrong = sent.mistakes or sent.problems
    return {
        "count": len(sent.entries),
        "read": sent.read,
        "wrong": sent.wrong,
        "mistakes": [mistake._asdict() for mistake in wrong[:SHOWN]],
        "left_out": max(0, len(wrong) - SHOWN),
        "anyway": bool(sent.problems) and not sent.mistakes,
    }
