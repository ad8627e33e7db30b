"""SQLite as this program uses it: WAL mode, patient with locks, its errors turned into sentences."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple

import peewee
from peewee import DatabaseError, IntegrityError, SqliteDatabase

from engine import interruption, ownership
from engine.deadline import Deadline
from engine.driver import ERRORS, unavailable
from engine.errors import InvalidInput, Unavailable

WRITES = (peewee.Insert, peewee.Update, peewee.Delete)
_NAME = re.compile(r":([a-z_]+)")  # of a parameter
AT_ONCE = 8  # rows of a statement that takes several: each worker compiles its own


class Sqlite(SqliteDatabase):
    """SQLite in WAL mode. Waits for a lock in short random steps; its errors are sentences (Unavailable)."""

    patience_s = 10.0
    newest_schema: int | None = None  # that this program knows; None: not asked for
    presence: int | None = None  # the descriptor by which this process is one of those that have it open
    _is_hurried = False
    _deadline = Deadline()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A transaction begun inside raises Unavailable at once when another holds the write lock."""
        self._is_hurried = True
        try:
            yield
        finally:
            self._is_hurried = False

    def give_way(self, longest_s: float = 0.05) -> bool:
        """Let those who wait for the write lock have it first, for a moment: call it before work that is not urgent.

        SQLite hands its lock to whoever asks at the right instant; who writes again and again would have it for ever.
        Returns whether anybody waited.
        """
        give_up_at = time.monotonic() + longest_s
        waited = False
        while self.is_waiting() and time.monotonic() < give_up_at:
            waited = True
            time.sleep(0.0005)
        return waited

    def is_waiting(self) -> bool:
        """Whether a process waits for the write lock."""
        with self._queue(fcntl.LOCK_EX) as is_free:
            return not is_free

    def queued(self) -> AbstractContextManager[bool]:
        """Be seen by those who give way; False when one of them looks at this very instant."""
        return self._queue(fcntl.LOCK_SH)

    def version(self) -> int:
        """A number that is another one once somebody else has written; what this connection writes leaves it alone."""
        return self.execute_sql("PRAGMA data_version").fetchone()[0]

    @contextmanager
    def _queue(self, kind: int) -> Iterator[bool]:
        """Lock the file of those who wait, if it can be had: all of them share it."""
        path = f"{self.database}.run/waiting.lock"
        try:
            fd = ownership.make(path)
        except OSError:
            yield True  # nobody gives way, and it takes longer
            return
        try:
            yield _lock(fd, kind)
        finally:
            os.close(fd)

    def connect(self, reuse_if_open: bool = False) -> Any:
        """Open this thread's connection; its first statements may meet a lock as any may.

        Raises Unavailable when the schema is newer than this program: it was upgraded while this process lived.
        """
        is_new = self.patiently(super().connect, reuse_if_open)
        if is_new and self.newest_schema:
            try:
                self.refuse_newer()
            except Unavailable:
                self.close()
                raise
        return is_new

    def schema_version(self) -> int:
        return self.execute_sql("PRAGMA user_version").fetchone()[0]

    def newer_schema(self) -> str | None:
        """The sentence for a schema that is newer than this program knows; None when it is not."""
        version = self.schema_version()
        if self.newest_schema is None or version <= self.newest_schema:
            return None
        return (
            f"The database {self.database} has schema {version}, newer than this program knows ({self.newest_schema}); "
            "upgrade QueueCTL, or start it again if it was upgraded already."
        )

    def refuse_newer(self) -> None:
        """Raises Unavailable when the schema is newer than this program knows."""
        if sentence := self.newer_schema():
            raise Unavailable(sentence)

    def connection(self) -> Any:
        """This thread's connection, opened when it is not."""
        return self._state.conn or super().connection()  # type: ignore[attr-defined]

    def limit(self, processor_s: float | None) -> None:
        """End the statement that runs when this thread has used so much processor time from now; None: no longer."""
        self._deadline.set(processor_s)
        if not self.is_closed():
            self._deadline.watch(self.connection())

    def _connect(self) -> Any:
        return self._deadline.watch(super()._connect())  # type: ignore[misc]

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run one statement. A worker runs a handful for every job, so what goes well goes straight to the driver."""
        try:
            return self.connection().execute(sql, params or ())
        except (*ERRORS, UnicodeEncodeError, OverflowError) as error:
            return self.patiently(super().execute_sql, sql, params, met=error)

    def execute_many(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run one statement for each of the rows, inside a transaction; how many rows of the table it changed in all."""
        numbered, in_order = _by_number(sql)
        try:
            return self.connection().executemany(numbered, map(in_order, rows)).rowcount
        except (*ERRORS, UnicodeEncodeError, OverflowError) as error:
            return self.patiently(None, met=error)

    def execute_together(
        self, sql: str, shared: Mapping[str, Any], names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
    ) -> int:
        """The same for rows of which only the parameters `names` differ, the first never None: SQLite gets many at once."""
        many = together(sql, names)
        try:
            changed = 0
            for first in range(0, len(rows), AT_ONCE):
                parameters = many.parameters(shared, rows[first : first + AT_ONCE])
                changed += self.connection().execute(many.sql, parameters).rowcount
            return changed
        except (*ERRORS, UnicodeEncodeError, OverflowError) as error:
            return self.patiently(None, met=error)

    def begin(self, lock_type: str | None = None) -> None:
        try:
            self.connection().execute(f"BEGIN {lock_type or self._lock_type}")  # type: ignore[attr-defined]
        except ERRORS as error:
            if self._is_hurried:
                raise unavailable(error, self.database) from error
            self.patiently(super().begin, lock_type, met=error)

    def snapshot(self) -> Any:
        """A transaction whose every question is answered as of one instant; it keeps nobody from writing."""
        return self.transaction("DEFERRED")

    def execute(self, query: Any, **options: Any) -> Any:
        """Run a query of Peewee's; one that writes outside a transaction is one by itself."""
        if isinstance(query, WRITES) and not self.in_transaction():
            interruption.change_begins()
        return super().execute(query, **options)

    def commit(self) -> None:
        interruption.change_begins()
        try:
            self.connection().execute("COMMIT")
        except ERRORS as error:
            self.patiently(super().commit, met=error)

    def rollback(self) -> None:
        """Undo the transaction. A full or failing disk has undone it already; to undo it again would be an error."""
        if self.connection().in_transaction:
            super().rollback()

    def patiently(self, act: Any, *args: Any, met: Exception | None = None) -> Any:
        """Do it, waiting for a lock. `met`: how it has failed once already. `act` None: it cannot be done again.

        Only a lock is a reason to try again: a full disk has ended the transaction, and what was a part of it would
        be stored alone.
        """
        give_up_at = None
        is_queued = False
        with ExitStack() as queue:
            while True:
                try:
                    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                        if met is not None:
                            try:
                                raise met
                            finally:
                                met = None  # it holds the frames of all callers, and they would hold it
                        return act(*args)
                except IntegrityError:
                    raise
                except UnicodeEncodeError as error:  # half a surrogate: a byte of an argument that is no UTF-8, mostly
                    raise InvalidInput(
                        "What was given is not text in UTF-8; correct the characters it cannot hold."
                    ) from error
                except OverflowError as error:
                    raise InvalidInput(
                        "A number that was given is too large; give one of at most 18 digits."
                    ) from error
                except (DatabaseError, UnicodeDecodeError) as error:
                    sentence = str(error)
                    if act is None or ("locked" not in sentence and "busy" not in sentence):
                        raise unavailable(error, self.database) from error
                    now = time.monotonic()
                    if give_up_at is None:
                        give_up_at = now + self.patience_s
                    is_queued = is_queued or queue.enter_context(self.queued())
                    if now > give_up_at:
                        raise unavailable(error, self.database) from error
                # Random steps of about a millisecond: SQLite's own back-off sleeps up to 100 ms.
                time.sleep(0.0002 + time.perf_counter_ns() % 1000 / 1_000_000)


@cache
def _by_number(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The statement with numbers for its named parameters, and what takes them out of a row in this order.

    The driver would look up every name anew for every row.
    """
    names = list(dict.fromkeys(_NAME.findall(sql)))
    return _NAME.sub(lambda found: f"?{names.index(found[1]) + 1}", sql), itemgetter(*names)


class Together(NamedTuple):
    """A statement that does for up to AT_ONCE rows what another does for one."""

    sql: str
    shared: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    own: Callable[[tuple[Any, ...]], tuple[Any, ...]]

    def parameters(self, shared: Mapping[str, Any], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        found = [*self.shared(shared)]
        for row in rows:
            found += self.own(row)
        return found + [None] * (len(self.own(rows[0])) * (AT_ONCE - len(rows)))


@cache
def together(sql: str, names: tuple[str, ...]) -> Together:
    """From `UPDATE … WHERE …` or `INSERT … VALUES (…) ON CONFLICT …`, of whose rows only the parameters `names` differ.

    To run a statement once more, and to hand a value over, costs as much as what this program's statements do. A row of
    NULLs changes nothing.
    """
    all_names = dict.fromkeys(_NAME.findall(sql))
    own = [name for name in names if name in all_names]
    shared = [name for name in all_names if name not in own]
    place = {name: f"column{number}" for number, name in enumerate(own, 1)}  # as SQLite calls them
    place |= {name: f"?{number}" for number, name in enumerate(shared, 1)}
    numbers = count(len(shared) + 1)
    rows = ", ".join("(" + ", ".join(f"?{next(numbers)}" for _ in own) + ")" for _ in range(AT_ONCE))
    told = _NAME.sub(lambda found: place[found[1]], sql)
    if "VALUES" in told:
        begins, ends = told.index("VALUES ("), told.index(")\nON CONFLICT")
        values = told[begins + len("VALUES (") : ends]
        told = f"{told[:begins]}SELECT {values}\n  FROM (VALUES {rows}) WHERE column1 IS NOT NULL{told[ends + 1 :]}"
    else:
        changes, condition = told.rsplit(" WHERE ", 1)
        told = f"{changes} FROM (VALUES {rows}) WHERE {condition}"
    return Together(told, itemgetter(*shared), itemgetter(*map(names.index, own)))


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
