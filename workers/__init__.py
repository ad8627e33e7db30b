"""Everything that is, or talks to, a process. The verbs for others: start, drain and stop workers."""

from workers.control import drain, ensure_supervisor, log_path, start, stop, supervisor_lives, wait_ended

__all__ = ["drain", "ensure_supervisor", "log_path", "start", "stop", "supervisor_lives", "wait_ended"]
