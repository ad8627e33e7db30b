"""The life of a job. The only package that changes one; every transition is one guarded statement.

pending → processing → completed
pending → processing → failed → (after its backoff) processing … → dead
pending or failed or processing → cancelled
any but processing → deleted (the trash) → what it was
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.jobs.ends import Claim, Ended, Ending, backoff_ms
    from engine.jobs.incoming import enqueue, enqueue_many, enqueue_parsed, payload_of, take_in
    from engine.jobs.running import (
        cancelled,
        claim,
        complete,
        end,
        fail,
        follow_clock,
        give_back,
        held_by,
        lose,
        put_back,
        release,
        show_output,
        turn,
    )
    from engine.jobs.steering import (
        CANCELLABLE,
        FINAL,
        RETRYABLE,
        WAITING,
        cancel,
        cancel_unless_running,
        prune,
        read_priority,
        retry,
        retry_dead,
        run_now,
        set_priority,
        state_of,
        unretry,
    )
    from engine.jobs.trash import DELETABLE, delete, purge, remove, undelete

# Loaded when they are used: whoever stores a job by the command line waits for none of the rest.
_MODULES = {
    "ends": ("Claim", "Ended", "Ending", "backoff_ms"),
    "incoming": ("enqueue", "enqueue_many", "enqueue_parsed", "payload_of", "take_in"),
    "running": (
        "cancelled",
        "claim",
        "complete",
        "end",
        "fail",
        "follow_clock",
        "give_back",
        "held_by",
        "lose",
        "put_back",
        "release",
        "show_output",
        "turn",
    ),
    "steering": (
        "CANCELLABLE",
        "FINAL",
        "RETRYABLE",
        "WAITING",
        "cancel",
        "cancel_unless_running",
        "prune",
        "read_priority",
        "retry",
        "retry_dead",
        "run_now",
        "set_priority",
        "state_of",
        "unretry",
    ),
    "trash": ("DELETABLE", "delete", "purge", "remove", "undelete"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


__all__ = [
    "CANCELLABLE",
    "DELETABLE",
    "FINAL",
    "RETRYABLE",
    "WAITING",
    "Claim",
    "Ended",
    "Ending",
    "backoff_ms",
    "cancel",
    "cancel_unless_running",
    "cancelled",
    "claim",
    "complete",
    "delete",
    "end",
    "enqueue",
    "enqueue_many",
    "enqueue_parsed",
    "fail",
    "follow_clock",
    "give_back",
    "held_by",
    "lose",
    "payload_of",
    "prune",
    "purge",
    "put_back",
    "read_priority",
    "release",
    "remove",
    "retry",
    "retry_dead",
    "run_now",
    "set_priority",
    "show_output",
    "state_of",
    "take_in",
    "turn",
    "undelete",
    "unretry",
]
