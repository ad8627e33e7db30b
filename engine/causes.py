"""Why the dead jobs are dead: their last errors, grouped by what they have in common."""

from __future__ import annotations

import re
from typing import NamedTuple

from models import Job, db

MOST_STARS = 8  # in one pattern: each multiplies what there is to try
_LONGEST = 160  # characters of an error that are compared


# The causes of all dead jobs, out of the index job_cause alone but for one error of each.
_CAUSES = """
SELECT cause, count(*) AS deaths,
       (SELECT last_error FROM job WHERE state = 'dead' AND cause = dead.cause ORDER BY finished_at DESC LIMIT 1),
       min(finished_at), max(finished_at)
  FROM job AS dead WHERE state = 'dead' AND cause IS NOT NULL
 GROUP BY cause ORDER BY deaths DESC, cause LIMIT ?
"""


class Cause(NamedTuple):
    """Jobs that died of errors with the same `pattern`: how many, the newest of these errors, the first and last death."""

    pattern: str
    deaths: int
    example: str
    first_at: int
    last_at: int


def pattern_of(error: str) -> str:
    """What errors of the same cause have in common: each word that holds a digit becomes an asterisk."""
    code = re.match(r"(exit code -?\d+)?", error).end()  # type: ignore[union-attr]
    pieces = re.split(r"\*|[\w-]*\d[\w-]*", error[code:_LONGEST])
    is_whole = len(pieces) <= MOST_STARS and len(error) <= _LONGEST
    pattern = error[:code] + "*".join(pieces[:MOST_STARS])
    return pattern if is_whole and pattern == pattern.rstrip() else pattern.rstrip("* ") + "*"


def deaths(pattern: str) -> int:
    """The number of dead jobs of this cause."""
    return Job.select().where(Job.state == "dead", Job.cause == pattern).count()


def by_count(most: int = 20) -> list[Cause]:
    """The `most` frequent causes of all dead jobs, the most frequent first."""
    return [Cause(*row) for row in db.execute_sql(_CAUSES, (most,))]
