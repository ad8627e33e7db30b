"""A bulk operation as people are told of it."""

from __future__ import annotations

from engine.wording import plural
from models import Operation

_ARE = {
    "retry": "pending again",
    "cancel": "cancelled or being stopped",
    "delete": "deleted",
    "priority": "given the priority",
    "undelete": "back",
    "unretry": "as before the retry",
}


def report(operation: Operation) -> str:
    """What has been done, in a sentence."""
    said = f"{plural(operation.done, 'job')} {'is' if operation.done == 1 else 'are'} {_ARE[operation.verb]}"
    if operation.argument is not None:
        said += f" {operation.argument}"
    if operation.skipped:
        said += f"; {operation.skipped:,} skipped, their state did not allow it"
    if operation.failed:
        said += f"; {operation.failed:,} failed: {(operation.error or '').rstrip('.')}"
    return f"{said}."


def share(operation: Operation) -> float:
    """How far it has come, from 0 to 1."""
    if operation.state != "running":
        return 1.0
    met = operation.done + operation.skipped + operation.failed
    if operation.expected:
        return min(met / operation.expected, 0.99)
    return min(operation.cursor / max(operation.newest, 1), 0.99)
