"""A list of jobs as CSV that a spreadsheet may open: no cell of it is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

COLUMNS = (
    *("id", "state", "queue", "priority", "tags", "command", "attempts", "max_retries", "return_code", "duration_ms"),
    *("last_error", "created_at", "next_run_at", "locked_by", "finished_at"),
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the last four: full-width forms, computed in some languages
_BLANKS = ("\t", "\r", "\n")


def lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The header, then a line for each job (as `queries.as_json` shapes it); none is kept."""
    yield _line(COLUMNS)
    for row in rows:
        yield _line([_cell(row[name]) for name in COLUMNS])


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would compute gets an apostrophe before it."""
    text = " ".join(value) if isinstance(value, list) else value
    if not isinstance(text, str):
        return text
    return f"'{text}" if text.startswith(_BLANKS) or text.lstrip().startswith(_FORMULA) else text


def _line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
