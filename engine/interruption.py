"""When a Ctrl-C may end this process: not between a lasting change and the sentence that tells of it.

Knows no signal: who heeds them (queuectl.py) asks here what to do. Nobody asks in workers and in the panel.
"""

from __future__ import annotations

_changes = 0  # lasting changes that this process has begun
_told = 0  # those of them that were told
_is_waiting = False


def change_begins() -> None:
    """Call it right before what makes a change last: a commit, a file's new name."""
    global _changes
    _changes += 1


def told() -> None:
    """All changes until now have been told, so that an interruption is welcome. Raises KeyboardInterrupt if one waits."""
    global _told, _is_waiting
    _told = _changes
    if _is_waiting:
        _is_waiting = False
        raise KeyboardInterrupt


def is_waiting() -> bool:
    """Whether a Ctrl-C came while a change was not told, and nothing has heeded it."""
    return _is_waiting


def interrupt() -> None:
    """A Ctrl-C came: raise KeyboardInterrupt, or have it wait while a change is not told."""
    global _is_waiting
    if _told != _changes:
        _is_waiting = True
    else:
        raise KeyboardInterrupt
