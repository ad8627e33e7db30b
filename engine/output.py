"""What a command printed, kept within bounds: the first and the last part of each stream."""

from __future__ import annotations

from typing import NamedTuple


class Output(NamedTuple):
    """One stream: the bytes kept, how many were printed in all, and where in `data` the middle was left out."""

    data: bytes = b""
    total: int = 0
    cut: int | None = None

    @property
    def omitted(self) -> int:
        """Bytes that were printed and not kept."""
        return self.total - len(self.data)

    def text(self) -> str:
        """For people: UTF-8 with replacement, one line that says how much is missing where the middle was."""
        if self.cut is None:
            return self.data.decode(errors="replace")
        head, tail = self.data[: self.cut], self.data[self.cut :]
        gap = f"\n… {self.omitted:,} bytes left out …\n"
        return head.decode(errors="replace") + gap + tail.decode(errors="replace")

    def last_line(self, limit: int = 200) -> str:
        """The last line that is not blank, at most `limit` characters."""
        for line in reversed(self.data[-4096:].splitlines()):
            if line.strip():
                return line.decode(errors="replace").strip()[:limit]
        return ""


EMPTY = Output()
