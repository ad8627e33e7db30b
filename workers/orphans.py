"""Workers whose supervisor died: alive, without a channel, and not our children. They are spoken to by signals."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from models import Worker
from workers import locks, tree


def pass_on(worker: Worker, wish: str, folder: str) -> None:
    """Say to the worker what shall become of it, if that is more than to finish its job."""
    if worker.pid is None:
        find_pid(worker, folder)
    if number := {"stop": signal.SIGQUIT, "kill": signal.SIGKILL}.get(wish):
        send(worker, number, folder)


def find_pid(worker: Worker, folder: str) -> None:
    """Its supervisor died between its birth and the note of it; without a number it could not be stopped."""
    for pid in tree.holders(locks.of_worker(folder, worker.pk)):
        worker.pid = pid
        Worker.update(pid=pid).where(Worker.pk == worker.pk).execute()


def cancel(pks: list[int], folder: str) -> None:
    """Say to those of these workers that live that their job is to be cancelled."""
    for worker in Worker.select().where(Worker.pk.in_(pks)):
        send(worker, signal.SIGUSR1, folder)


def send(worker: Worker, number: int, folder: str) -> None:
    """Signal the worker: by a handle, once its open lock proves that it is no other process."""
    if worker.pid is None:
        return
    path = locks.of_worker(folder, worker.pk)
    with suppress(OSError):
        handle = os.pidfd_open(worker.pid)
        try:
            if locks.is_held(path) and tree.has_open(worker.pid, path):
                signal.pidfd_send_signal(handle, number)
                signal.pidfd_send_signal(handle, signal.SIGCONT)  # a stopped process cannot act on it
        finally:
            os.close(handle)
