"""Everything that is, or talks to, a process. The verbs for others: start, scale, drain and stop workers."""

import startup  # noqa: F401 - first, for `python -m workers` begins here, and an old Python can load nothing else

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.control import (
        Scaling,
        drain,
        ensure_supervisor,
        force_stop,
        log_path,
        replace_supervisor,
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
    "replace_supervisor",
    "scale",
    "start",
    "stop",
    "supervisor_lives",
    "wait_ended",
]


def __getattr__(name: str) -> Any:
    """Loaded when it is used, so that `python -m workers` has seen to its signals before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("workers.control"), name)
    return value
