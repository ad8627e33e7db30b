"""Processes that cannot be ended or reaped: the queue goes on, names them, and runs no job twice at once."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from engine import jobs, waiting
from tests.faults.conftest import Faulty, close
from tests.support import wait_until
from workers import doctor

SUPERVISE = """
import sys
from workers.__main__ import main
main(["--count", sys.argv[1], "--db", sys.argv[2]])
"""
# The system refuses to signal `sleep 4242` as it does for another user's process; of a group it signals the others.
REFUSE = """
import os, signal
from pathlib import Path
def is_foreign(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\\0")[:2] == [b"sleep", b"4242"]
    except OSError:
        return False
def refusing(call, pid_of):
    def refuse(name, number):
        if number and is_foreign(pid_of(name)):
            raise PermissionError(1, "Operation not permitted")
        return call(name, number)
    return refuse
def pid_of_handle(fd):
    return int(next(line for line in open(f"/proc/self/fdinfo/{fd}") if line.startswith("Pid:")).split()[1])
def refusing_group(group, number):
    members = [int(name) for name in os.listdir("/proc") if name.isdigit() and group_of(int(name)) == group]
    allowed = [pid for pid in members if not is_foreign(pid)]
    for pid in allowed:
        kill(pid, number)
    if members and not allowed:
        raise PermissionError(1, "Operation not permitted")
def group_of(pid):
    try:
        return os.getpgid(pid)
    except OSError:
        return None
kill = os.kill
os.kill = refusing(os.kill, lambda pid: pid)
os.killpg = refusing_group
signal.pidfd_send_signal = refusing(signal.pidfd_send_signal, pid_of_handle)
"""
# Root without the capability to signal others, and to look into them, is to them what any other user is.
POWERLESS = """
import ctypes, os, sys
for capability in (5, 19):  # CAP_KILL, CAP_SYS_PTRACE
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""
FAKED = "its signals are refused"
WAYS = [FAKED, "it is another user's"] if os.geteuid() == 0 else [f"{FAKED}; another user's needs root"]


class Foreign(Faulty):
    """A queue whose jobs have a process that its workers may not signal."""

    is_real = False

    def supervise(self, count: int) -> int:
        """A supervisor with so many workers; its pid."""
        words = (str(count), str(self.path))
        if self.is_real:
            under = (sys.executable, "-c", POWERLESS, sys.executable, "-c", SUPERVISE, *words)
        else:
            under = (sys.executable, "-c", REFUSE + SUPERVISE, *words)
        pid = self.run_workers(program="", under=under).pid
        wait_until(lambda: len(self.workers("idle")) >= count)
        return pid

    def sleep(self) -> str:
        """A command that becomes the process that cannot be ended."""
        if not self.is_real:
            return "exec sleep 4242"
        return f"""exec {sys.executable} -I -S -c 'import os; os.setuid(65534); os.execv("{shutil.which("sleep")}", ["sleep", "4242"])'"""

    def sleepers(self) -> list[int]:
        found = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "4242"]]
        return [one.pid for one in found if f"{self.path}" in self.database_of(one)]

    def database_of(self, one: psutil.Process) -> str:
        with suppress(psutil.Error):
            return one.environ().get("QUEUECTL_DB", "")
        return ""

    def sleeper(self) -> int:
        return wait_until(self.sleepers)[0]

    def why(self, job_id: str) -> str:
        return " ".join(reason.text for reason in waiting.reasons(self.job(job_id)))


@pytest.fixture(params=WAYS)
def queue(request: pytest.FixtureRequest, tmp_path) -> Iterator[Foreign]:
    opened = Foreign(tmp_path / "queue.db")
    opened.is_real = request.param != WAYS[0]
    yield opened
    for pid in opened.sleepers():
        os.kill(pid, signal.SIGKILL)
    close(opened)


def names(says: str | None, pid: int) -> bool:
    return f"rocess {pid} (sleep 4242) of user " in (says or "") and "cannot be ended: " in (says or "")


def test_a_run_ends_although_a_process_that_it_left_cannot_be_ended(queue):
    queue.supervise(1)
    began = "until grep -q sleep /proc/$!/comm; do sleep 0.05; done"
    queue.add(f"({queue.sleep()}) & {began}; echo done", id="job")
    job = queue.wait_for("job", "completed")
    pid = queue.sleeper()
    assert names(job.last_error, pid)
    queue.add("true", id="next")
    assert queue.wait_for("next", "completed").last_error is None
    assert names(queue.workers()[0]["reason"], pid)
    (finding,) = [one for one in doctor.examine(str(queue.path)) if one.check == "processes to end"]
    assert finding.verdict == "warning"
    assert names(finding.says, pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: queue.workers()[0]["reason"] is None)


def test_a_timeout_and_a_cancel_without_effect_say_why(queue):
    queue.command("config", "set", "kill_grace_sec", "0.1")
    queue.supervise(2)
    queue.add(queue.sleep(), id="job", timeout_sec=3)
    pid = queue.sleeper()
    wait_until(lambda: queue.why("job").startswith("The timeout has no effect: "))
    assert names(queue.why("job"), pid)
    assert jobs.cancel("job") == "processing"
    wait_until(lambda: queue.why("job").startswith("The cancel has no effect: "))
    assert names(queue.command("show", "job").stdout, pid)
    assert f"process {pid}" in queue.panel().get("/jobs/job").text
    queue.add("true", id="other")
    queue.wait_for("other", "completed")
    (finding,) = [one for one in doctor.examine(str(queue.path)) if one.check == "processes to end"]
    assert finding.verdict == "problem"
    os.kill(pid, signal.SIGKILL)
    assert queue.wait_for("job", "dead", "failed", "cancelled").run == 1
    assert "the cancel has no effect" in queue.logged()


def test_a_worker_leaves_a_command_that_cannot_be_ended_when_told_to_stop(queue):
    queue.command("config", "set", "kill_grace_sec", "0.1")
    queue.supervise(1)
    queue.add(queue.sleep(), id="job")
    pid = queue.sleeper()
    ended = queue.command("worker", "stop", "--now")
    assert ended.returncode == 1
    assert names(ended.stderr, pid)
    assert queue.state("job") == "processing"
    (worker,) = queue.workers()
    assert worker["status"] == "stopping"
    queue.command("worker", "start")
    wait_until(lambda: queue.workers("idle"))
    assert (queue.state("job"), queue.sleepers()) == ("processing", [pid])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: queue.job("job").run == 2)
    assert queue.job("job").crashes == 0


def test_a_killed_worker_keeps_its_job_while_its_command_lives_and_nothing_else_waits(queue):
    supervisor = queue.supervise(2)
    queue.add(queue.sleep(), id="job")
    pid = queue.sleeper()
    worker = wait_until(lambda: queue.workers("busy"))[0]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: names(queue.why("job"), pid))
    wait_until(lambda: len(queue.workers("idle")) == 2)
    queue.add("true", id="other")
    queue.wait_for("other", "completed")
    os.kill(supervisor, signal.SIGQUIT)
    queue.runs[0].wait(20)
    queue.supervise(1)
    wait_until(lambda: queue.workers("idle"))
    queue.add("true", id="later")
    queue.wait_for("later", "completed")
    assert (queue.job("job").run, queue.sleepers()) == (1, [pid])
    assert queue.logged().count("cannot be ended") <= 2
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: queue.job("job").run == 2)
    assert [pid] != queue.sleepers()


# --- a command that has ended, and that a debugger keeps from being reaped


@pytest.fixture
def plain(tmp_path) -> Iterator[Faulty]:
    opened = Faulty(tmp_path / "queue.db")
    yield opened
    close(opened)


@contextmanager
def debugged(pid: int) -> Iterator[None]:
    """While the block runs, only this process can reap the other."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    assert ptrace(0x4206, pid, None, None) == 0, os.strerror(ctypes.get_errno())  # PTRACE_SEIZE
    try:
        yield
    finally:
        os.waitpid(pid, 0x40000000)  # __WALL


def test_a_job_goes_back_although_its_dead_process_cannot_be_reaped(plain):
    plain.run_idle_workers(1)
    plain.add("exec sleep 300", id="job")
    worker = wait_until(lambda: plain.workers("busy"))[0]
    (command,) = wait_until(lambda: psutil.Process(worker["pid"]).children())
    with debugged(command.pid):
        os.kill(worker["pid"], signal.SIGKILL)
        wait_until(lambda: plain.job("job").run == 2)
        assert command.status() == psutil.STATUS_ZOMBIE


def test_a_worker_waits_for_word_while_its_dead_command_cannot_be_reaped(plain):
    plain.run_idle_workers(1)
    plain.add("exec sleep 300", id="job")
    worker = wait_until(lambda: plain.workers("busy"))[0]
    (command,) = wait_until(lambda: psutil.Process(worker["pid"]).children())
    with debugged(command.pid):
        command.kill()
        wait_until(lambda: f"process {os.getpid()} " in (plain.workers()[0]["reason"] or ""))
        cpu_s = sum(psutil.Process(worker["pid"]).cpu_times()[:2])
        assert plain.command("config", "list").returncode in (0, 2)  # takes a while: a loop without rest would show
        assert sum(psutil.Process(worker["pid"]).cpu_times()[:2]) - cpu_s < 0.1
    assert plain.wait_for("job", "failed", "dead").return_code == -signal.SIGKILL


def test_one_worker_that_cannot_be_cleared_away_keeps_nothing_waiting(plain):
    """The supervisor rests between its tries, and a dead worker's channel does not wake it."""
    program = f"""
import ctypes
import os
import re
from workers import burial, supervisor
bury, tries, rounds = burial.bury, [], []
def refuse(*words, **more):
    tries.append(len(rounds))
    if len(tries) > 2:
        os.write(2, f"rounds {{tries}}\\n".encode())
        return bury(*words, **more)
    raise RuntimeError("cannot be cleared away")
burial.bury = refuse
go_round = supervisor.Supervision._round
def count(self):
    rounds.append(0)
    go_round(self)
supervisor.Supervision._round = count
from workers.__main__ import main
main(["--count", "2", "--db", {str(plain.path)!r}])
"""
    plain.run_idle_workers(2, program=program)
    plain.add("exec sleep 300", id="job")
    worker = wait_until(lambda: plain.workers("busy"))[0]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: "cannot be cleared away" in plain.logged())
    plain.add("true", id="other")
    plain.wait_for("other", "completed")
    says = wait_until(lambda: re.search(r"rounds \[(\d+), \d+, (\d+)\]", plain.logged()))
    assert int(says[2]) - int(says[1]) < 100
    assert plain.logged().count("Traceback") == 1
    wait_until(lambda: plain.job("job").run == 2)
