"""The errors people meet. Each carries one sentence that says what is wrong and what to do."""


class QueueError(Exception):
    """Something was refused. `str(error)` is the sentence to show; `status` is the HTTP status."""

    status = 409


class InvalidInput(QueueError):
    """What was given cannot be stored. `field` names the part at fault, None when it is the whole."""

    status = 422

    def __init__(self, sentence: str, field: str | None = None):
        super().__init__(sentence)
        self.field = field


class NotFound(QueueError):
    """There is no such job, worker or key."""

    status = 404


class Refused(QueueError):
    """The thing exists, but its state does not allow what was asked."""


class StaleClaim(QueueError):
    """The job is no longer held by this run: it was taken over, and a late result is dropped."""


class Unavailable(QueueError):
    """The database cannot be used now: locked, full, missing, damaged or of a newer schema."""

    status = 503
