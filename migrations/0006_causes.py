"""The cause of a dead job is stored with it, so that all of them are counted; and the line ends of what is not kept."""

import re

MOST_STARS, LONGEST = 8, 160


def up(migrator, db):
    db.execute_sql("ALTER TABLE job ADD COLUMN cause TEXT")
    db.execute_sql("ALTER TABLE attempt ADD COLUMN stdout_cut_lines INTEGER")
    db.execute_sql("ALTER TABLE attempt ADD COLUMN stderr_cut_lines INTEGER")
    db.connection().create_function("pattern_of", 1, pattern_of, deterministic=True)
    db.execute_sql("UPDATE job SET cause = pattern_of(coalesce(last_error, '')) WHERE state = 'dead'")
    db.execute_sql("CREATE INDEX job_cause ON job (cause, finished_at) WHERE state = 'dead'")


def pattern_of(error):
    code = re.match(r"(exit code -?\d+)?", error).end()
    pieces = re.split(r"\*|[\w-]*\d[\w-]*", error[code:LONGEST])
    is_whole = len(pieces) <= MOST_STARS and len(error) <= LONGEST
    pattern = error[:code] + "*".join(pieces[:MOST_STARS])
    return pattern if is_whole and pattern == pattern.rstrip() else pattern.rstrip("* ") + "*"
