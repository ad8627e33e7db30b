"""What may be on a disk after the power failed: every state that a recording allows, made again as files.

What was synced is there. Of what was written since, any part may be there, each write whole, torn between sectors, or
not at all. Files appear and vanish in their order, and surely only once the folder is synced.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tests.faults.recorder import Event

SECTOR = 512


class _File:
    def __init__(self, content: bytes = b""):
        self.synced = bytearray(content)
        self.since: list[Event] = []

    def sync(self) -> None:
        self.synced = self.content(self.since)
        self.since = []

    def content(self, events: list[Event]) -> bytearray:
        found = bytearray(self.synced)
        for event in events:
            if event.kind == "cut":
                found = found[: event.offset].ljust(event.offset, b"\0")
            else:
                end = event.offset + len(event.data)
                found.extend(bytes(max(0, end - len(found))))
                found[event.offset : end] = event.data
        return found


class Disk:
    """The files of one folder on a disk that may lose its power at any moment."""

    def __init__(self, files: dict[str, bytes]):
        self.names = {path: _File(content) for path, content in files.items()}
        self.synced_names = dict(self.names)
        self.since: list[dict[str, _File]] = []  # how the folder looked after each change since its sync

    def do(self, event: Event) -> None:
        if event.kind in ("create", "unlink"):
            self.names = {path: file for path, file in self.names.items() if path != event.path}
            if event.kind == "create":
                self.names[event.path] = _File()
            self.since.append(self.names)
        elif event.kind == "sync_folder":
            self.synced_names, self.since = self.names, []
        elif event.kind == "sync":
            self.names[event.path].sync()
        elif event.kind in ("write", "cut"):
            self.names[event.path].since.append(event)

    def all_synced(self) -> bool:
        return not self.since and not any(file.since for file in self.names.values())

    def after_power_loss(self, chance: random.Random, tries: int) -> Iterator[dict[str, bytes]]:
        """States it may come back in: the least, the most, the files without what they held, and some at random."""
        yield {path: bytes(file.synced) for path, file in self.synced_names.items()}
        yield {path: bytes(file.content(file.since)) for path, file in self.names.items()}
        yield {path: bytes(file.synced) for path, file in self.names.items()}
        for _ in range(tries):
            names = chance.choice([self.synced_names, *self.since])
            yield {path: bytes(file.content(_some(file.since, chance))) for path, file in names.items()}


def _some(events: list[Event], chance: random.Random) -> list[Event]:
    kept = []
    for event in events:
        fate = chance.random()
        if fate < 0.15:
            sectors = len(event.data) // SECTOR
            event = event._replace(data=event.data[: chance.randint(0, sectors) * SECTOR])
        if fate < 0.65:
            kept.append(event)
    return kept


def lay_out(state: dict[str, bytes], folder: Path) -> Path:
    """Write the state into an empty folder; where its database is, whether or not there is one."""
    for old in folder.iterdir():
        old.unlink()
    for path, content in state.items():
        (folder / Path(path).name).write_bytes(content)
    return folder / "queue.db"
