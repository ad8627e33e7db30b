"""Who owns a database and the files beside it. Knows no table.

A database, its run folder and what lies there belong to one user, and only that user may write them: what another user can
prepare or change there would run as the one who uses it. Started by root on a user's database, this program makes files for
that user. No link is followed there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from engine.errors import Unavailable

_OTHERS_WRITE, _OTHERS_USE = 0o022, 0o077


class Fault(NamedTuple):
    """Why a file is not to be used, and the command that mends it."""

    path: str
    says: str
    command: str

    def sentence(self) -> str:
        return f"{self.path} {self.says}; type: {self.command}"


def refuse(fault: Fault | None) -> None:
    """Raises Unavailable when there is a fault."""
    if fault is not None:
        raise Unavailable(fault.sentence())


def create(path: str, like: str | None = None) -> None:
    """Make a new empty file that its owner alone may use; made by root it belongs to the owner of `like`, if that exists.

    Raises FileExistsError and other OSErrors.
    """
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _give(fd, like)
    finally:
        os.close(fd)


def make(path: str, flags: int = os.O_RDWR) -> int:
    """Open a file of the run folder as `reopen` does; it is made if missing, by root for the owner of the folder."""
    while True:
        with suppress(FileNotFoundError):  # also when it is removed between the two
            return reopen(path, flags)
        with suppress(FileExistsError):
            create(path, os.path.dirname(path))


def reopen(path: str, flags: int = os.O_RDWR) -> int:
    """Open a file of the run folder and return its descriptor, which no program inherits.

    Raises Unavailable when it is another user's than the folder, others may write it or it is a link, FileNotFoundError and
    other OSErrors.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError:
        refuse(_of_private(path))
        raise
    fault = _judge(path, os.fstat(fd), os.stat(os.path.dirname(path)).st_uid, stat.S_ISREG)
    if fault is not None:
        os.close(fd)
        refuse(fault)
    return fd


def run_folder(database: str) -> str:
    """The folder beside the database for locks, socket, log and key. Made if missing. Raises Unavailable as `reopen`."""
    folder = f"{database}.run"
    with suppress(FileExistsError):
        make_folder(folder, database)
    refuse(_of_folder(folder, database))
    return folder


def make_folder(path: str, like: str) -> None:
    """Make a folder for its owner alone; made by root it belongs to the owner of `like`. Raises FileExistsError."""
    os.mkdir(path, 0o700)
    if not _is_root():
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not os.listdir(fd):  # else someone put another there meanwhile
            _give(fd, like)
    finally:
        os.close(fd)


def give_socket(path: str) -> None:
    """Let the owner of the folder use a socket that this process made there."""
    if not _is_root():
        return
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.chown(f"/proc/self/fd/{fd}", *_owner(os.path.dirname(path)))
    finally:
        os.close(fd)


def check_database(path: str) -> None:
    """Raises Unavailable when the file that exists at `path` is another user's, others may write it or it has two names."""
    refuse(_of_database(path))
    for journal in (f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            found = os.lstat(journal)
            if found.st_uid != 0 or not stat.S_ISREG(found.st_mode):  # else SQLite is about to give it to the owner
                refuse(_of_private(journal))


def faults(database: str) -> list[Fault]:
    """What is wrong with the database and all that lies in its run folder. Opens nothing."""
    folder = f"{database}.run"
    found = [_of_database(database), _of_folder(folder, database)]
    found += [_of_private(f"{database}{end}") for end in ("-wal", "-shm")]
    if os.path.isdir(folder) and not os.path.islink(folder):
        with suppress(PermissionError):
            found += [_of_inside(os.path.join(folder, name), folder) for name in sorted(os.listdir(folder))]
    return [fault for fault in found if fault is not None]


def mend(database: str) -> list[str]:
    """Take from others the right to write what is this user's own; run by root, give what it made to the owner.

    Returns what was done, in words.
    """
    return [done for fault in faults(database) if (done := _mended(fault, database))]


def _mended(fault: Fault, database: str) -> str | None:
    with suppress(OSError, AttributeError):
        fd = os.open(
            fault.path, os.O_PATH | os.O_NOFOLLOW
        )  # one for reading would drop SQLite's locks when it is closed
        try:
            found = os.fstat(fd)
            if not (stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)):
                return None
            is_ours = found.st_uid == (_owner(database)[0] if _is_root() else os.geteuid())
            if is_ours and fault.path.endswith(".key") and os.path.dirname(fault.path) == f"{database}.run":
                os.unlink(fault.path)
                return f"Removed {fault.path}, which others may know; the panel makes another."
            if is_ours and found.st_mode & _OTHERS_WRITE:
                os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(found.st_mode) & ~_OTHERS_USE)
                return f"Took from other users the right to use {fault.path}."
            if found.st_uid == 0 and _is_root() and fault.path != database:
                os.chown(f"/proc/self/fd/{fd}", *_owner(database))
                return f"Gave {fault.path} to the owner of the database."
        finally:
            os.close(fd)
    return None


def _of_database(path: str) -> Fault | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    fault = _judge(path, found, found.st_uid if _is_root() else os.geteuid(), stat.S_ISREG)
    if fault is not None:
        return fault
    folder = os.stat(os.path.dirname(path))
    is_shared = bool(folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH)
    if is_shared and found.st_uid not in (os.geteuid(), folder.st_uid):
        return _foreign(path, found.st_uid, os.geteuid())
    names = found.st_nlink - _is_staged(path, found)
    if names > 1:
        says = f"has {names} names (hard links); using two of them at once would damage it"
        found_by = f"find {_quoted(os.path.dirname(path))} -xdev -samefile {_quoted(path)}"
        return Fault(path, says, f"{found_by}  # lists the names; remove all but one")
    if _is_mounted(path):
        says = "is mounted as a single file; using it there and under its other name at once would damage it"
        return Fault(path, says, f"umount {_quoted(path)}  # and mount the folder of the database instead")
    return None


def _of_folder(folder: str, database: str) -> Fault | None:
    try:
        owner = os.stat(database).st_uid
    except FileNotFoundError:
        owner = os.geteuid()
    with suppress(FileNotFoundError):
        return _judge(folder, os.lstat(folder), owner, stat.S_ISDIR)
    return None


def _of_inside(path: str, folder: str) -> Fault | None:
    with suppress(FileNotFoundError):  # it was removed meanwhile
        return _judge(path, os.lstat(path), os.stat(folder).st_uid, lambda mode: True)
    return None


def _of_private(path: str) -> Fault | None:
    """Of a file in the run folder, or a log of SQLite beside the database."""
    like = path[:-4] if path.endswith(("-wal", "-shm")) else os.path.dirname(path)
    with suppress(FileNotFoundError):
        return _judge(path, os.lstat(path), os.stat(like).st_uid, stat.S_ISREG)
    return None


def _judge(path: str, found: os.stat_result, owner: int, is_right: Callable[[int], bool]) -> Fault | None:
    """What is wrong with a file that belongs to `owner` when all is well."""
    if stat.S_ISLNK(found.st_mode):
        return Fault(path, "is a link; QueueCTL follows none there", f"rm {_quoted(path)}")
    if not is_right(found.st_mode):
        says = "is not a folder" if is_right is stat.S_ISDIR else "is not a regular file"
        return Fault(path, says, f"mv {_quoted(path)} {_quoted(path)}.old")
    if found.st_uid != owner:
        return _foreign(path, found.st_uid, owner)
    if found.st_mode & _OTHERS_WRITE:
        return Fault(path, "may be written by other users", f"chmod go-w {_quoted(path)}")
    if path.endswith(".key") and found.st_mode & _OTHERS_USE:
        return Fault(path, "may be read by other users", f"rm {_quoted(path)}")
    return None


def _foreign(path: str, found: int, owner: int) -> Fault:
    recursive = "-R " if os.path.isdir(path) else ""
    says = f"belongs to the user {_name(found)}, not {_name(owner)}"
    return Fault(path, says, f"sudo chown {recursive}{_name(owner)} {_quoted(path)}")


def _quoted(path: str) -> str:
    import shlex  # only a refusal pays for it

    return shlex.quote(path)


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_staged(path: str, found: os.stat_result) -> bool:
    """Whether one more name of the database is in its run folder, as for an instant at the end of a restore."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(f"{path}.run/restore/queue.db"), found)
    return False


def _is_mounted(path: str) -> bool:
    for letter in "\\ \t\n":  # as the kernel writes them there
        path = path.replace(letter, f"\\{ord(letter):03o}")
    with suppress(OSError), open("/proc/self/mountinfo", errors="surrogateescape") as mounts:
        return any(line.split(" ", 5)[4] == path for line in mounts)
    return False


def _is_root() -> bool:
    return os.geteuid() == 0


def _give(fd: int, like: str | None) -> None:
    """Let what this process made belong to the owner of `like`, if it is root that made it."""
    if like is not None and _is_root():
        with suppress(FileNotFoundError):
            owner = _owner(like)
            if os.fstat(fd).st_uid != owner[0]:
                os.fchown(fd, *owner)


def _owner(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_uid, found.st_gid
