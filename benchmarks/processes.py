"""What processes cost, as the kernel counts it in /proc."""

from __future__ import annotations

import re
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_s(pid: int) -> float:
    """Seconds the process has been on a core."""
    return sum(int(Path(thread, "schedstat").read_text().split()[0]) for thread in _threads(pid)) / 1e9


def wakeups(pid: int) -> int:
    """How often its threads have gone to sleep by themselves, and so were woken."""
    return sum(_field(Path(thread, "status"), "voluntary_ctxt_switches") for thread in _threads(pid))


def private_mb(pid: int) -> float:
    """Memory that would be free if this process alone were not there."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    return (_field(rollup, "Private_Clean") + _field(rollup, "Private_Dirty")) / 1024


def proportional_mb(pid: int) -> float:
    """Its own memory and its share of what it has in common with others; of a group these add up to what the group has."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss") / 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin anew at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most that was resident, shared memory too, since it began or `forget_peak`."""
    return _field(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def written_bytes(pid: int) -> int:
    """What it has sent to the disk; that of children that have ended is counted to their parent."""
    return _field(Path(f"/proc/{pid}/io"), "write_bytes")


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _field(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", path.read_text(), re.MULTILINE)
    assert found, f"{path} has no {name}"
    return int(found[1])
