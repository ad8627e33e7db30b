"""The supervisor's part in operations: it goes on with those that were abandoned."""

from __future__ import annotations

from typing import Any

import models
from models import Operation

_ABANDONED_MS = 10_000  # since its last batch
_GO_ON_S = 0.1
_REST_S = 5.0


class Adoption:
    """Loads what operations need when there is one: until then no worker has it in its memory."""

    def __init__(self) -> None:
        self.pk: int | None = None

    def step(self) -> float:
        """Do one batch of an operation that nobody goes on with. Returns in how many seconds to call again."""
        pk = self.pk or _abandoned()
        if pk is None:
            return _REST_S
        from engine import operations

        self.pk = pk if operations.step(pk).state == "running" else None
        return _GO_ON_S


def _abandoned() -> int | None:
    """The operation that waits longest for its next batch; a clock that was set back makes it wait no longer."""
    now = models.now_ms()
    left = (Operation.updated_at < now - _ABANDONED_MS) | (Operation.updated_at > now + _ABANDONED_MS)
    waiting: Any = Operation.select(Operation.pk).where(Operation.state == "running", left)
    return waiting.order_by(Operation.updated_at).limit(1).scalar()
