"""Everything that is, or talks to, a process. The verbs for others: start, scale, drain and stop workers."""

from workers.control import (
    Scaling,
    drain,
    ensure_supervisor,
    force_stop,
    log_path,
    scale,
    start,
    stop,
    supervisor_lives,
    wait_ended,
)

__all__ = [
    "Scaling",
    "drain",
    "ensure_supervisor",
    "force_stop",
    "log_path",
    "scale",
    "start",
    "stop",
    "supervisor_lives",
    "wait_ended",
]
