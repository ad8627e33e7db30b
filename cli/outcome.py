"""How a command ends: the sentence for what went wrong, the exit status, and an output that may fail."""

from __future__ import annotations

import errno
import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

import click

from engine.errors import InvalidInput, QueueError

COMPLETE = "_QUEUECTL_COMPLETE"  # in the environment while the shell completes a word
_OUTPUT = "the standard output"


class Stopped(Exception):
    """A command that ended midway. Its arguments: the sentence to say, the exit status."""


class _Output(FileIO):
    """The standard output. What fails here names it: an OSError of a descriptor has no name."""

    has_failed = False

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename, _Output.has_failed = _OUTPUT, True
            raise


def open_output() -> None:
    """Print what the terminal's encoding cannot show as "?"; with no standard output at all, print nowhere."""
    out = sys.stdout
    if out is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open as long as the program runs
    elif isinstance(out, TextIOWrapper) and out is sys.__stdout__:
        raw = BufferedWriter(_Output(out.fileno(), "w", closefd=False))
        sys.stdout = TextIOWrapper(raw, out.encoding, "replace", line_buffering=out.line_buffering)
    if os.isatty(1) or os.isatty(2):
        from cli import terminal

        terminal.guard()


def close_output() -> None:
    """When the output failed, send what is still to be written nowhere, else Python complains again at its exit."""
    if _Output.has_failed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def complain(sentence: str, status: int) -> int:
    """Say one sentence on standard error, none while the shell completes a word. Returns `status`."""
    if sentence and COMPLETE not in os.environ:
        from cli import printing

        click.echo(sentence.replace("\n", " ") + printing.colours_end(sentence), err=True)
    return status


def ending(error: BaseException) -> tuple[str, int]:
    """The sentence and the exit status for what ended a command."""
    match error:
        case Stopped():
            return error.args
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "queuectl"
            return f"{error.format_message()} See '{path} --help'.", error.exit_code
        case click.ClickException():
            return error.format_message(), error.exit_code
        case InvalidInput():
            return str(error), 2
        case QueueError():
            return str(error), 1
        case OSError():
            return _of_the_system(error), 1
        case click.Abort() | KeyboardInterrupt():
            return "Interrupted.", 130
    return _unforeseen(error), 1


def _of_the_system(error: OSError) -> str:
    if error.filename == _OUTPUT and error.errno == errno.EPIPE:
        return ""  # `queuectl list | head`: nobody reads on, so there is nothing to say
    if error.filename:
        return f"Cannot use {os.fsdecode(error.filename)}: {error.strerror}."
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "Too many files are open; allow more (ulimit -n) and try again."
    if error.errno == errno.ENOENT:  # only the question for the present folder has no name
        return "The folder this command was started in no longer exists; change to another and try again."
    return f"The system refused something: {error.strerror or error}."


def _unforeseen(error: BaseException) -> str:
    """An error of this program, or what a damaged row holds. Developers see its traceback in Python's dev mode."""
    if sys.flags.dev_mode:
        raise error
    if isinstance(error, ImportError):
        return f"QueueCTL cannot be loaded: {error}."
    from engine import health

    if damage := health.damage():
        return damage
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    says = f"QueueCTL failed ({type(error).__name__}{place}: {error})."
    return f"{says} See 'queuectl doctor'; with PYTHONDEVMODE=1 it tells more."
