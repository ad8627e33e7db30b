"""Many jobs in one text: JSON lines, a JSON array, or a command a line; every mistake with the place it stands at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from engine import spec
from engine.errors import InvalidInput
from models import Job

FORMS = ("json", "lines")  # lines: each is a command
_CHUNK = 500
_LOOK = 20  # if one of so many lines is an object, each is meant to be one

_BEFORE = '{"jobs": '  # makes an object of an array
_FIRST_LINE = re.compile(r"( at line 1, column )(\d+)")
_BETWEEN = "\n],[\n"

Entry = tuple[str, dict[str, Any]]  # the place of a job in the text ("" for the only one), and what is given for it


class Mistake(NamedTuple):
    """What is wrong at a place. The sentence begins with the name of the field where it is about one."""

    place: str
    sentence: str
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


class Batch(NamedTuple):
    """What a text holds: the jobs that could be read, and what could not."""

    jobs: list[Entry]
    mistakes: list[Mistake]


def decode(content: bytes, name: str) -> str:
    """The text of a file, `name` being what to call it. Raises InvalidInput when it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 at byte {error.start}; save it as UTF-8.") from None


def read(text: str, form: str = "json", most: int | None = None) -> Batch:
    """The jobs in `text`, unchecked. In the form lines, empty ones and those that begin with # are left out.

    Raises InvalidInput when there are more than `most`, and when an array as a whole is not JSON.
    """
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if form == "lines":
        lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
        _bound(len(lines), most)
        return Batch([(f"line {number}", {"command": line}) for number, line in lines], [])
    if text.lstrip().startswith("["):
        return _array(text, most)
    if lines and (len(lines) == 1 or not _is_object(lines[0][1])):
        try:
            return Batch([("", spec.parse_json(text))], [])
        except InvalidInput:
            if not any(_is_object(line) for _, line in lines[1:_LOOK]):
                raise
    _bound(len(lines), most)
    return _objects(lines)


def parsed(jobs: list[Entry], now: int) -> list[dict[str, Any]]:
    """What `spec.parse` makes of each of these jobs. Raises InvalidInput for the first mistake, with its place."""
    try:
        rows = [spec.parse(job, now) for _, job in jobs]
        ids = [row["id"] for row in rows if "id" in row]
        is_right = len(set(ids)) == len(ids)
    except InvalidInput:
        is_right = False
    if not is_right:
        mistake = next(mistakes(jobs, now))
        raise InvalidInput(str(mistake), mistake.field)
    return rows


def mistakes(jobs: list[Entry], now: int) -> Iterator[Mistake]:
    """What forbids to store these jobs, in their order: fields that cannot be, and ids given twice."""
    seen: dict[str, str] = {}
    for place, job in jobs:
        try:
            job_id = spec.parse(job, now).get("id")
        except InvalidInput:
            yield from (Mistake(place, str(error), error.field) for error in spec.mistakes(job, now))
            continue
        if job_id in seen:
            yield Mistake(place, f"id {job_id} was given in {seen[job_id]} already.", "id")
        elif job_id is not None:
            seen[job_id] = place


def taken(jobs: list[Entry]) -> list[Mistake]:
    """Which of these jobs ask for the id of a job that is there already. Their fields are right."""
    places = {job["id"]: place for place, job in jobs if job.get("id") is not None}
    ids = list(places)
    found: list[str] = []
    for start in range(0, len(ids), _CHUNK):
        there: Any = Job.select(Job.id).where(Job.id.in_(ids[start : start + _CHUNK])).tuples()
        found += [job_id for (job_id,) in there]
    there_now = set(found)
    return [
        Mistake(place, f"There is a job {job_id} already; choose another id, or leave it out.", "id")
        for job_id, place in places.items()
        if job_id in there_now
    ]


def _array(text: str, most: int | None) -> Batch:
    try:
        found = spec.parse_json(f"{_BEFORE}{text}}}")["jobs"]
    except InvalidInput as error:
        raise InvalidInput(_FIRST_LINE.sub(lambda at: f"{at[1]}{int(at[2]) - len(_BEFORE)}", str(error))) from None
    _bound(len(found), most)
    batch = Batch([], [])
    for number, job in enumerate(found, 1):
        if isinstance(job, dict):
            batch.jobs.append((f"job {number}", job))
        else:
            batch.mistakes.append(Mistake(f"job {number}", "must be a JSON object."))
    return batch


def _objects(lines: list[tuple[int, str]]) -> Batch:
    if found := _all_at_once([line for _, line in lines]):
        return Batch([(f"line {number}", job) for (number, _), job in zip(lines, found, strict=True)], [])
    batch = Batch([], [])
    for number, line in lines:
        try:
            batch.jobs.append((f"line {number}", spec.parse_json(line)))
        except InvalidInput as error:  # it counts lines too, but only those it was given
            batch.mistakes.append(Mistake(f"line {number}", str(error).replace(" at line 1, column ", " at column ")))
    return batch


def _all_at_once(lines: list[str]) -> list[dict[str, Any]]:
    """The objects of many lines, in two thirds of the time; none unless each line is one.

    Each line becomes an array of its own. No text of two lines is one value then: a string holds no end of a line, and
    no field of a job holds the arrays that could enclose what stands between them.
    """
    try:
        found = spec.parse_json(f'{{"lines": [[{_BETWEEN.join(lines)}]]}}')["lines"]
    except InvalidInput:
        return []
    is_one_each = len(found) == len(lines) and all(len(one) == 1 and isinstance(one[0], dict) for one in found)
    return [job for (job,) in found] if is_one_each else []


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _bound(count: int, most: int | None) -> None:
    if most is not None and count > most:
        raise InvalidInput(f"There are {count:,} jobs; at most {most:,} can be enqueued at once.")
