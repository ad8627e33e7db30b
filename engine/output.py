"""What a command printed, kept within bounds: the first and the last part of each stream."""

from __future__ import annotations

import re
from typing import NamedTuple

_LOOKED_AT = 4096  # the last bytes of the stream
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
_ERROR = re.compile(
    r"error|exception|fatal|panic|denied|refused|fail(ed|ure)|no such|not found|cannot|can't|unable|abort|killed"
    r"|out of memory|no space left|timed out|unreachable|unrecognized|invalid",
    re.IGNORECASE,
)


class Output(NamedTuple):
    """One stream: the bytes kept, how many were printed in all, and where in `data` the middle was left out.

    cut_lines: how many line ends were in that middle; None when there is none, or when they were not counted.
    """

    data: bytes = b""
    total: int = 0
    cut: int | None = None
    cut_lines: int | None = None

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

    def failure_line(self, limit: int = 200) -> str:
        """The line that says what went wrong, at most `limit` characters; the last one when none says so.

        That is the first line about an error, behind the last Python traceback if there is one. Indented lines are
        details of the line before them. A line that ends with a colon is followed by the line that it announces.
        """
        text = _COLOUR.sub("", self.data[-_LOOKED_AT:].decode(errors="replace"))
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        lines = lines[starts[-1] + 1 :] if starts else lines
        for number, line in enumerate(lines):
            if not line[0].isspace() and _ERROR.search(line):
                if line.endswith(":") and number + 1 < len(lines):
                    line += " " + lines[number + 1].strip()
                return line[:limit]
        return lines[-1].strip()[:limit] if lines else ""


EMPTY = Output()
