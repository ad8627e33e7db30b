"""One protection taken away at a time. A suite that does not notice one of these gone proves nothing about it.

`python -m tests.chaos.mutants NAME …` is `python -m workers …` with that mutant applied; NAME `healthy` changes
nothing. Each mutant names the scenario that must catch it and what the scenario then says.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import models
from engine import dialect, jobs
from engine.database import Sqlite
from engine.jobs import Claim
from models import Job
from workers import __main__ as program
from workers import birth, burial, command, control, hand, leftovers, locks, supervisor, tree
from workers.journal import Journal
from workers.supervisor import Supervision

Patch = Callable[[Any, str, Any], None]  # setattr, or one that can be undone


class Mutant(NamedTuple):
    """`take_away(patch)` removes a protection; `scenario` must then report what begins with `says`."""

    take_away: Callable[[Patch], None]
    scenario: str
    says: str


# --- burial: what is done before a dead worker's job is given back


def _nothing_is_killed(patch: Patch) -> None:
    patch(burial, "_clear", lambda *_: [])


def _given_back_before_the_kill(patch: Patch) -> None:
    """The two steps in the wrong order, and between them the time that a busy host may put there."""
    bury = burial.bury

    def hasty(worker: Any, reason: str, *, host: str, **others: Any) -> bool:
        job = Job.select(Job.pk, Job.run).where(Job.state == "processing", Job.locked_by == worker.id).first()
        if job is not None:
            jobs.lose(job.pk, job.run, worker.id, host, reason)
            ledger = Path(models.db.database).with_name("ledger")
            tree.wait_until(lambda: f" {job.run + 1} " in ledger.read_text(), 10)
        return bury(worker, reason, host=host, **others)

    patch(burial, "bury", hasty)


def _no_scan_for_the_mark(patch: Patch) -> None:
    patch(tree, "end_marked", lambda value: [])


def _no_scan_for_holders(patch: Patch) -> None:
    patch(tree, "end_holders", lambda path: [])
    patch(burial, "PATIENCE_S", 0.2)


def _lock_of_the_jobs_not_asked(patch: Patch) -> None:
    real = locks.is_held
    patch(locks, "is_held", lambda path: not path.endswith(".jobs.lock") and real(path))


def _children_are_spared(patch: Patch) -> None:
    patch(burial, "tree", SimpleNamespace(**{**vars(tree), "end_children": lambda spare: []}))


def _no_subreaper(who: str) -> Callable[[Patch], None]:
    def take_away(patch: Patch) -> None:
        real = tree.adopt_orphans

        def adopt(name: str) -> None:
            if name.startswith(who):
                ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # the name alone
            else:
                real(name)

        patch(tree, "adopt_orphans", adopt)

    return take_away


def _low_descriptor_for_the_jobs(patch: Patch) -> None:
    patch(birth, "INHERITED_FD", 3)


def _journal_says(name: str, answer: Any) -> Callable[[Patch], None]:
    return lambda patch: patch(Journal, name, lambda *_, **__: answer)


# --- locks


def _unlocked(file_name: str) -> Callable[[Patch], None]:
    """The file is opened, never locked: whoever asks finds it free."""

    def take_away(patch: Patch) -> None:
        real = locks.take

        def take(path: str) -> int | None:
            is_it = re.fullmatch(file_name, os.path.basename(path))
            return os.open(path, os.O_CREAT | os.O_RDWR) if is_it else real(path)

        patch(locks, "take", take)

    return take_away


# --- the end of a command


def _no_leftover_loop(patch: Patch) -> None:
    patch(command._Running, "_end_leftovers", lambda self: None)


def _only_the_group_is_ended(patch: Patch) -> None:
    patch(leftovers, "tree", SimpleNamespace(end_children=list, is_childless=tree.is_childless))


def _leftovers_are_ended_in_one_pass(patch: Patch) -> None:
    def end_children() -> list[int]:
        found = tree._children()
        for pid in found:
            tree._kill_child(pid)
        for pid in found:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return []

    patch(leftovers, "tree", SimpleNamespace(end_children=end_children, is_childless=tree.is_childless))


# --- the supervisor


def _nudge_only(patch: Patch) -> None:
    patch(supervisor, "LOOK_S", 3600.0)
    patch(supervisor, "REST_S", 3600.0)


def _no_data_version(patch: Patch) -> None:
    def has_changed(self: Supervision) -> bool:
        return self.has_orphans

    patch(Supervision, "_has_changed", has_changed)


def _no_last_look(patch: Patch) -> None:
    def leave(self: Supervision) -> bool:
        supervisor.os.close(self.lock)
        return True

    patch(Supervision, "_leave", leave)


def _last_look_that_must_see(patch: Patch) -> None:
    patch(control, "may_anyone_be_wanted", lambda: control.is_anyone_wanted())


def _a_wake_up_in_vain_is_not_answered(patch: Patch) -> None:
    real = birth.Loop._obey
    patch(birth.Loop, "_obey", lambda self, message: None if message == "wake" else real(self, message))


# --- the engine


def _statement(name: str, *removed: str) -> Callable[[Patch], None]:
    """A statement of engine/dialect.py without some of its words."""

    def take_away(patch: Patch) -> None:
        sql = getattr(dialect, name)
        for words in removed:
            assert sql.count(words) == 1, f"{name} has no {words!r} any more; correct this mutant"
            sql = sql.replace(words, "")
        patch(dialect, name, sql)

    return take_away


def _both(*parts: Callable[[Patch], None]) -> Callable[[Patch], None]:
    def take_away(patch: Patch) -> None:
        for part in parts:
            part(patch)

    return take_away


def _one_retry_less(patch: Patch) -> None:
    """`attempts >= max_retries` where `>` belongs."""
    real = jobs.fail
    patch(jobs, "fail", lambda held, ending: real(held._replace(max_retries=held.max_retries - 1), ending))


def _transactions_begin_deferred(patch: Patch) -> None:
    begin = Sqlite.begin
    patch(Sqlite, "begin", lambda self, lock_type=None: begin(self, "DEFERRED"))


def _claim_in_two_steps(patch: Patch) -> None:
    """Look for the most urgent job, then take it: between the two another may have done the same."""

    def claim(worker: str, host: str) -> Claim | None:
        now = models.now_ms()
        due = Job.select().where(Job.state.in_(("pending", "failed")), Job.next_run_at <= now)
        job = due.order_by(Job.priority.desc(), Job.next_run_at, Job.pk).first()
        if job is None:
            return None
        taken = {"state": "processing", "run": job.run + 1, "locked_by": worker, "locked_at": now}
        Job.update(**taken).where(Job.pk == job.pk).execute()
        known = {**vars(job)["__data__"], **taken, "worker": worker, "host": host, "started_at": now}
        return Claim._make(known.get(field) for field in Claim._fields)

    patch(jobs, "claim", claim)


def _no_counting_trigger(patch: Patch) -> None:
    models.db.execute_sql("DROP TRIGGER job_counted_update")


RUN, HOLDER, STATE = " AND run = :run", " AND locked_by = :worker", " AND state = 'processing'"

MUTANTS = {
    "burial kills nothing": Mutant(_nothing_is_killed, "worker_dies", "overlap"),
    "job given back before the kill": Mutant(_given_back_before_the_kill, "worker_dies_beside_another", "overlap"),
    "ends not written down": Mutant(_journal_says("end_of", None), "worker_dies_among_several", "twice"),
    "all has begun": Mutant(_journal_says("has_begun", True), "worker_dies_among_several", "crash"),
    "nothing has begun": Mutant(_journal_says("has_begun", False), "worker_dies_among_several", "history"),
    "children of the dead spared": Mutant(_children_are_spared, "worker_dies_and_a_job_hides", "overlap"),
    "supervisor no subreaper": Mutant(_no_subreaper("queuectl-super"), "worker_dies_and_a_job_hides", "overlap"),
    "no scan for the mark": Mutant(_no_scan_for_the_mark, "all_die_and_descriptors_are_closed", "overlap"),
    "no scan for holders": Mutant(_no_scan_for_holders, "all_die_and_environment_is_empty", "stuck"),
    "lock of the jobs not asked": Mutant(_lock_of_the_jobs_not_asked, "all_die_and_environment_is_empty", "overlap"),
    "jobs inherit a low descriptor": Mutant(
        _low_descriptor_for_the_jobs, "all_die_and_a_job_uses_many_descriptors", "overlap"
    ),
    "worker without its lock": Mutant(_unlocked(r"w\d+\.lock"), "supervisor_dies", "cut short"),
    "supervisor without its lock": Mutant(_unlocked(r"supervisor\.lock"), "second_supervisor", "two supervisors"),
    "no leftover loop": Mutant(_no_leftover_loop, "job_leaves_processes", "outlived"),
    "only the group is ended": Mutant(_only_the_group_is_ended, "job_leaves_processes", "outlived"),
    "leftovers ended in one pass": Mutant(_leftovers_are_ended_in_one_pass, "job_leaves_processes", "outlived"),
    "worker no subreaper": Mutant(_no_subreaper("queuectl-w"), "job_leaves_processes", "outlived"),
    "nudge only": Mutant(_nudge_only, "nobody_nudges_for_a_job", "not seen"),
    "no data_version": Mutant(_no_data_version, "nobody_nudges_for_a_worker", "not seen"),
    "no last look": Mutant(_no_last_look, "wish_meets_the_leaving", "left alone"),
    "last look that must see": Mutant(_last_look_that_must_see, "database_is_locked_at_the_last_look", "lockless"),
    "vain wake-up not answered": Mutant(_a_wake_up_in_vain_is_not_answered, "job_is_snatched", "not seen"),
    "end without its fence": Mutant(_statement("END", RUN, HOLDER), "late_finisher", "accepted"),
    "end without the run": Mutant(_statement("END", RUN), "late_finisher_of_the_same_worker", "accepted"),
    "claim without a new run": Mutant(
        _statement("CLAIM", " run = run + 1,"), "late_finisher_of_the_same_worker", "accepted"
    ),
    "end without holder and state": Mutant(_statement("END", HOLDER, STATE), "finished_twice", "accepted"),
    "one retry less": Mutant(_one_retry_less, "last_retry", "dead too soon"),
    "transactions begin deferred": Mutant(_transactions_begin_deferred, "write_between_read_and_write", "refused"),
    "end without the run, many at once": Mutant(_statement("END", RUN), "many_at_once", "end"),
    "transactions begin deferred, many at once": Mutant(_transactions_begin_deferred, "many_at_once", "refused"),
    "claim in two steps": Mutant(_claim_in_two_steps, "many_at_once", "(claim|order|history|run|change)"),
    "claim without priorities": Mutant(
        _statement("CLAIM", "j.priority = (SELECT priority FROM priorities WHERE has_due) AND "),
        "many_at_once",
        "order",
    ),
    "no counting trigger": Mutant(_no_counting_trigger, "counters", "counters"),
}

# What may go alone, because something else says the same. Both together are a mutant above.
REDUNDANT = {
    "end without the holder": (
        Mutant(_statement("END", HOLDER), "finished_twice", ""),
        "a run number belongs to one claim, so to one holder; an ended job is not processing",
    ),
    "end without the state": (
        Mutant(_statement("END", STATE), "finished_twice", ""),
        "a job that is not processing has no holder",
    ),
}


def apply(name: str, patch: Patch = setattr) -> None:
    """Take the protection away that this mutant is about."""
    if name != "healthy":
        MUTANTS[name].take_away(patch)


if __name__ == "__main__":
    # On a busy machine too, the short jobs of a scenario are short.
    hand.SHORT_MS, hand.TOGETHER_S, command.LINGER_S = 10_000, 100.0, 10.0
    apply(sys.argv[1])
    sys.exit(program.main(sys.argv[2:]))
