"""Files that are written for people to keep: private, whole or not there at all, and never over another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from engine import interruption, ownership
from engine.errors import Refused


@contextmanager
def new_file(path: str, like: str | None = None) -> Iterator[str]:
    """Yields the path of an empty private file beside `path`, to be filled. After the block it is on the disk as `path`.

    Made by root it belongs to the owner of `like`. When the block fails it is removed. Raises Refused when `path`
    exists, OSError when it cannot be written.
    """
    part = f"{path}.part"
    _refuse_taken(path)
    try:
        ownership.create(part, like)
    except FileExistsError:
        raise Refused(
            f"{part} exists: another process writes it, or one was interrupted; remove it to begin again."
        ) from None
    try:
        yield part
        sync(part)
        _refuse_taken(path)
        interruption.change_begins()
        os.rename(part, path)
        sync(os.path.dirname(os.path.abspath(path)))
    except BaseException as error:
        if isinstance(error, OSError) and not error.filename:
            error.filename = path  # a full disk does not say whose it is
        for name in (part, f"{part}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(name)
        raise


def _refuse_taken(path: str) -> None:
    if os.path.lexists(path):
        raise Refused(f"{path} exists already; choose another name or remove it.")


def sync(path: str) -> None:
    """What was written to this file, or named in this folder, is on the disk when it returns."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
