"""Finding by the beginning of a name, by index seeks alone: as quick with a million jobs as with ten."""

from __future__ import annotations

from engine import folding, queries
from models import Job

_LONGEST_ID = 128
_LAST = "\U0010ffff"  # sorts after every character that an id may go on with


def jobs(beginning: str, limit: int = 8) -> list[Job]:
    """The jobs whose id begins with this, in the order of their ids; the one of exactly this id comes first."""
    if not beginning or len(beginning) > _LONGEST_ID or not _is_storable(beginning):
        return []
    begins = (Job.id >= beginning) & (Job.id < beginning + _LAST)
    # Not "state IN (...)": SQLite would rather walk through all jobs of those states.
    return list(Job.select().where(begins, Job.state != "deleted").order_by(Job.id).limit(limit))


def queues(part: str, limit: int = 5) -> list[str]:
    """The queues whose name holds this, upper case or lower."""
    return [name for name in queries.queues() if folding.holds(name, folding.fold(part))][:limit]


def _is_storable(text: str) -> bool:
    """Whether SQLite can look for it: a NUL ends a text there, and half a surrogate is none."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
