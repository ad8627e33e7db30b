"""Record what a program does to the files of a folder: each write, sync, creation and removal, and what it says.

By ptrace(2) alone, so that it needs no tool and no privilege. One process with one thread; Linux on x86-64 or ARM.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

_TRACEME, _SYSCALL, _SETOPTIONS, _SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_OPTIONS = 1 | 0x100000  # mark the stops at system calls; the program dies with us
_ENTRY, _EXIT = 1, 2
_CALLS = {
    "x86_64": {1: "write", 18: "pwrite", 74: "fsync", 75: "fsync", 77: "ftruncate", 87: "unlink", 263: "unlinkat"}
    | {2: "open", 257: "openat", 20: "other", 82: "other", 264: "other", 285: "other", 296: "other", 316: "other"},
    "aarch64": {64: "write", 68: "pwrite", 82: "fsync", 83: "fsync", 46: "ftruncate", 35: "unlinkat", 56: "openat"}
    | {66: "other", 70: "other", 47: "other", 38: "other", 276: "other"},
}
_OTHER = "a way to change a file that the recorder does not know"


class Event(NamedTuple):
    """kind: write, cut (at `offset`), sync, create, unlink, sync_folder; say (`data` on standard output)."""

    kind: str
    path: str = ""
    offset: int = 0
    data: bytes = b""


class _Info(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number_or_result", ctypes.c_int64),
        ("arguments", ctypes.c_uint64 * 6),
    )


_libc: Any = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def record(line: list[str], folder: Path, **options: Any) -> list[Event]:
    """Run the program to its end, which must be a good one, and return what it did below `folder` and said.

    Raises OSError where the kernel does not let a process trace its own child.
    """
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, preexec_fn=_be_traced, **options)
    try:
        return _Recorder(process.pid, str(folder)).run()
    finally:
        process.returncode = 0  # it was waited for here


def _be_traced() -> None:
    if _libc.ptrace(_TRACEME, 0, None, None) != 0:
        os._exit(126)


class _Recorder:
    def __init__(self, pid: int, folder: str):
        self.pid = pid
        self.folder = folder
        self.calls = _CALLS[os.uname().machine]
        self.events: list[Event] = []
        self.begun: Event | None = None  # by the system call that the program is in

    def run(self) -> list[Event]:
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            raise OSError("this kernel lets no process trace its child")
        self._ptrace(_SETOPTIONS, None, _OPTIONS)
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            self.memory = memory
            while not os.WIFEXITED(status) and not os.WIFSIGNALED(status):
                self._ptrace(_SYSCALL, None, self._stopped(os.WSTOPSIG(status)))
                _, status = os.waitpid(self.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        return self.events

    def _stopped(self, number: int) -> int:
        """Look at the system call it stopped at; the signal to pass on."""
        if number != signal.SIGTRAP | 0x80:
            return 0 if number == signal.SIGTRAP else number
        info = _Info()
        self._ptrace(_SYSCALL_INFO, ctypes.sizeof(info), ctypes.addressof(info))
        if info.op == _ENTRY:
            call = self.calls.get(info.number_or_result)
            self.begun = self._event(call, *info.arguments) if call else None
        elif info.op == _EXIT and self.begun is not None and info.number_or_result >= 0:
            event = self.begun
            if event.kind in ("write", "say"):
                event = event._replace(data=event.data[: info.number_or_result])
            self.events.append(event)
        return 0

    def _event(self, call: str, *arguments: int) -> Event | None:
        """What the call is about to do; None when that is of no interest here."""
        if call in ("open", "openat"):
            at = 1 if call == "openat" else 0
            path = self._path_at(arguments[at])
            is_new = arguments[at + 1] & os.O_CREAT and not os.path.exists(path)
            return Event("create", path) if is_new and self._concerns(path) else None
        if call in ("unlink", "unlinkat"):
            path = self._path_at(arguments[1 if call == "unlinkat" else 0])
            return Event("unlink", path) if self._concerns(path) else None
        if call == "write" and arguments[0] == 1:
            return Event("say", data=self._read(arguments[1], arguments[2]))
        path = self._path_of(arguments[0])
        if call == "fsync":
            if path == self.folder:
                return Event("sync_folder")
            return Event("sync", path) if self._concerns(path) else None
        if not self._concerns(path):
            return None
        assert call != "other", _OTHER
        if call == "ftruncate":
            return Event("cut", path, arguments[1])
        offset = arguments[3] if call == "pwrite" else self._position(arguments[0])
        return Event("write", path, offset, self._read(arguments[1], arguments[2]))

    def _concerns(self, path: str) -> bool:
        """The shared memory file is made anew from the log after a crash; the run folder holds no job."""
        return path.startswith(f"{self.folder}/") and not path.endswith("-shm") and ".run/" not in path

    def _path_of(self, fd: int) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}")
        except OSError:
            return ""

    def _position(self, fd: int) -> int:
        lines = Path(f"/proc/{self.pid}/fdinfo/{fd}").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("pos:")))

    def _path_at(self, address: int) -> str:
        text = b""
        while b"\0" not in text:
            text += self._read(address + len(text), 64 - (address + len(text)) % 64)
        return text.partition(b"\0")[0].decode()

    def _read(self, address: int, length: int) -> bytes:
        return os.pread(self.memory.fileno(), length, address)

    def _ptrace(self, request: int, address: int | None, value: int) -> None:
        if _libc.ptrace(request, self.pid, address, value) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
