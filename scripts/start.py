"""Run the Procfile in this terminal, and leave it without cutting a job in half.

Honcho alone kills what is still there five seconds after the panel has left. A job may need longer, so here
the person at the keyboard decides:

    Ctrl-C        finish the jobs that run, take no others, leave
    once more     stop those jobs now; they go back to the queue
    a third time  kill everything

TERM counts like Ctrl-C; a closed terminal like the first. Takes the arguments of `honcho start`.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import honcho.command
import honcho.manager
import honcho.printer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import startup  # noqa: E402 - the path comes first

NO_LIMIT_S = 10 * 365 * 24 * 3600

FINISHING = "Finishing the jobs that run. Press Ctrl-C again to stop them now.\n"
STOPPING = "Stopping the jobs that run; they go back to the queue. Press Ctrl-C again to kill everything.\n"


class PatientManager(honcho.manager.Manager):
    """Honcho's manager, with a person instead of a clock to say when patience ends."""

    def __init__(self, printer: honcho.printer.Printer) -> None:
        super().__init__(printer)
        self._noted: list[int] = []
        self._stopping = False

    def _start(self) -> None:
        # loop() has just set handlers of its own, which fail while the children are being born.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._note)
        super()._start()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._noted.append(signum)

    def _all_started(self) -> bool:
        """Whether all children live. loop() asks several times a second, so this is where signals are obeyed."""
        started: bool = super()._all_started()
        while started and self._noted:
            self._obey(self._noted.pop(0))
        return started

    def _obey(self, signum: int) -> None:
        self.returncode = 128 + signum
        if not self._terminating:
            self._system_print(FINISHING)
            self.terminate()
        elif signum == signal.SIGHUP:
            return  # nobody is left to press a key; what runs may finish
        elif not self._stopping:
            self._system_print(STOPPING)
            self.stop()
        else:
            self.kill()

    def stop(self) -> None:
        """Ask all processes to leave without finishing their work."""
        self._stopping = True
        for process in self._processes.values():
            if "returncode" not in process:
                try:
                    os.killpg(process["pid"], signal.SIGQUIT)
                except ProcessLookupError:
                    continue  # it has just left


class LastingPrinter(honcho.printer.Printer):
    """Takes the end of its terminal or pipe for a closed terminal, and goes on in silence."""

    def write(self, message: honcho.printer.Message) -> None:
        try:
            super().write(message)
        except OSError:
            self.output = open(os.devnull, "w")  # noqa: SIM115 - for the rest of this process's life
            os.kill(os.getpid(), signal.SIGHUP)


def _undo_coercion() -> None:
    """Pass on the locale that the user has: Python sets LC_CTYPE at its own start where there is none (PEP 538)."""
    with suppress(OSError):
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
        if not any(line.startswith(b"LC_CTYPE=") for line in given):
            os.environ.pop("LC_CTYPE", None)


def main() -> None:
    os.chdir(ROOT)
    _undo_coercion()
    os.environ["PORT"] = str(startup.port())
    workers = os.environ.get("WORKERS", "").strip() or "2"
    if not (workers.isascii() and workers.isdigit() and len(workers) <= 4):
        sys.exit(f"WORKERS is {workers[:32]!r}; give a number of workers, for example 2.")
    os.environ["PYTHONUNBUFFERED"] = "1"
    honcho.manager.KILL_WAIT = NO_LIMIT_S
    honcho.command.Manager = PatientManager
    honcho.command.Printer = LastingPrinter
    honcho.command.main(["start", *sys.argv[1:]])


if __name__ == "__main__":
    main()
