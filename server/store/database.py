"""The connection to SQLite or PostgreSQL: where transactions begin and end, and what a database's refusal means."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.model.errors import DomainError, Reason
from server.store.address import checked, sqlite_file
from server.store.faults import Fault, fault_of, is_missing_table
from server.store.file_watch import FileWatch

T = TypeVar("T")

MOST_CONNECTIONS = 15
"""What the pool opens at most; who needs one more waits for it."""

CACHE_KIBIBYTES = 128 * 1024
"""SQLite's caches of all connections together: half is the writer's. Those who read find the file in the system's memory too."""

WRITER_CACHE = CACHE_KIBIBYTES // 2
READER_CACHE = (CACHE_KIBIBYTES - WRITER_CACHE) // MOST_CONNECTIONS

KEPT_SECONDS = 1.0
"""After so long without a transaction the pool is asked for a connection, which looks whether it still lives."""

PG_RETRY = {"40001", "40P01"}
"""Serialization failure and deadlock: the same transaction may succeed when it is run again."""

PG_ONLY_READS = "25006"
"""A standby, or a primary that is none any more. Its connection is given up: the next one may be to the new primary."""

_NOTICED_WHEN_GONE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Settings of libpq: without them a connection that is cut on the way, not closed, blocks the writer for a quarter of an hour."""

PG_CONNECTIONS = 40
"""What the pool opens at most on PostgreSQL: one for each thread that may want one, so that who waits for a lock holds up no others."""

_SESSION = (
    "-c synchronous_commit=on -c enable_seqscan=off -c jit=off"
    " -c lock_timeout=2s -c statement_timeout=30s -c idle_in_transaction_session_timeout=15s"
)
"""Durable, whatever the cluster's default is; every question by an index; and nobody waits without end.

A lock that is held too long, by a migration, an operator or a server that has stopped in the midst of a transaction, fails the call that
wants it, and no other.

PostgreSQL reads a table of a page or two whole and keeps that plan while the table grows, until autovacuum has looked at it a minute
later: after forty early clicks a newsletter's first 102,400 took 84 s instead of 8 (measured).
"""


_Job = tuple[Callable[[], Any], "Future[Any]"]

_OF_ONE_CALL = {"TIMEOUT", "TOO_MANY_CALLS", "stopping"}
"""Causes that say nothing of the database itself."""

GAVE_IDS = "gave_ids"
"""In a connection's `info`: the transaction under way has given ids that callers get to know, which never come again."""


class GivenIdsCount(Protocol):
    """What is told of transactions that give ids."""

    def count(self, connection: Connection) -> Any:
        """Comes last in such a transaction, which fails with what this raises."""

    def keep(self, counted: Any, /) -> None:
        """Is told after the commit what `count` gave, before anybody gets the ids."""


class Database:
    """One database. On SQLite every write runs in one writer thread; on PostgreSQL only what is submitted to it does."""

    def __init__(self, url: str) -> None:
        """Raises STORE_UNAVAILABLE for a URL that cannot be used; whether there is a database is not asked yet."""
        self._url = checked(url)
        self.engine = _engine(self._url)
        self.dialect = self.engine.dialect.name
        self.is_sqlite = self.dialect == "sqlite"
        self._one_state = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._first: deque[_Job] = deque()
        self._others: deque[_Job] = deque()
        self._waiting: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run_jobs, name="writer", daemon=True)
        self._kept: Connection | None = None
        self._kept_until = 0.0
        self._opened = self._writes = 0
        self._closing = threading.Lock()
        self._open = True
        self.given_ids: GivenIdsCount | None = None
        self._file = FileWatch(sqlite_file(self._url))
        self._failed: tuple[float, Fault] | None = None
        self._writer.start()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that sees one state of the database. Raises DomainError STORE_UNAVAILABLE."""
        with self._available(), self._connect().execution_options(**self._one_state) as connection:
            return work(connection)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction of its own and commits it; whatever it raises, nothing of it stays. Blocks."""
        if not self.is_sqlite:
            return self.transaction(work)
        result, counted = self.submit(lambda: self._write(work)).result()
        self._keep(counted)  # here and not in the writer thread, where clicks would wait for one more fsync
        return result

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        """Has the writer thread run `job` after those submitted before."""
        return self._submit(job, self._others)

    def submit_first(self, job: Callable[[], T]) -> "Future[T]":
        """Has the writer thread run `job` in turns with what was submitted to it before: it waits for one of those, not for all."""
        return self._submit(job, self._first)

    def _submit(self, job: Callable[[], T], jobs: "deque[_Job]") -> "Future[T]":
        future: Future[T] = Future()
        with self._closing:
            if not self._open:
                raise DomainError(Reason.store_unavailable, "the server is stopping; nothing was stored", cause="stopping")
            jobs.append((job, future))
            self._waiting.put(True)
        return future

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """What `write` does, in the calling thread. On PostgreSQL a transaction that lost to another one is run again, twice at most."""
        result, counted = self._transact(work)
        self._keep(counted)
        return result

    def _keep(self, counted: Any) -> None:
        if counted is not None and self.given_ids is not None:
            self.given_ids.keep(counted)

    def _transact(self, work: Callable[[Connection], T]) -> tuple[T, Any]:
        """Runs `work` in a transaction; what it returns, and what was counted of the ids that it gave."""
        for attempt in (1, 2, 3):
            try:
                with self._available(), self._writing() as connection, connection.begin():
                    self._file.before()
                    connection.info.pop(GAVE_IDS, None)  # of a transaction that failed
                    result = work(connection)
                    gave = connection.info.pop(GAVE_IDS, False)
                    counted = self.given_ids.count(connection) if gave and self.given_ids is not None else None
                with self._available():
                    self._file.after_write()
                return result, counted
            except OperationalError as error:
                if attempt == 3 or getattr(error.orig, "sqlstate", None) not in PG_RETRY:
                    raise self._unavailable(error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def failed(self, seconds: float) -> Fault | None:
        """What the database failed with in the last so many seconds, whoever asked it."""
        failed = self._failed
        return failed[1] if failed is not None and time.monotonic() - failed[0] < seconds else None

    @contextlib.contextmanager
    def _available(self) -> Iterator[None]:
        """Turns what the database says when it is away, locked, full, damaged or no primary into DomainError STORE_UNAVAILABLE."""
        try:
            yield
        except DomainError as error:
            if error.reason is Reason.store_unavailable:
                self._notice(Fault(error.metadata["cause"], error.message))
            raise
        except (InterfaceError, PoolTimeout) as error:
            raise self._unavailable(error) from error
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) in PG_RETRY:
                raise
            raise self._unavailable(error) from error
        except DBAPIError as error:
            is_damaged = isinstance(error, InternalError) or type(error) is DatabaseError  # PostgreSQL's files, and SQLite's
            if error.connection_invalidated or is_damaged or is_missing_table(error.orig):
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: Exception) -> DomainError:
        fault = fault_of(error, self._url)
        self._notice(fault)
        return DomainError(Reason.store_unavailable, f"{fault.problem}; nothing was stored", cause=fault.cause)

    def _notice(self, fault: Fault) -> None:
        if fault.cause not in _OF_ONE_CALL:
            self._failed = time.monotonic(), fault

    def version(self, connection: Connection) -> tuple[int, ...] | None:
        """Something that stays the same as long as this connection of the writer thread sees nothing that `write` or others have written.

        What `transaction` writes does not count. None where there is no such thing: on PostgreSQL.
        """
        if not self.is_sqlite:
            return None
        driver: Any = connection.connection.driver_connection
        (others,) = driver.execute("PRAGMA data_version").fetchone()
        return self._opened, others, self._writes

    def close(self) -> None:
        """Ends the writer thread after the jobs it has, and closes every connection. Safe to call twice."""
        with self._closing:
            was_open, self._open = self._open, False
            if was_open:
                self._waiting.put(False)
        if was_open:
            self._writer.join()
            self.engine.dispose()

    def _connect(self) -> Connection:
        self._file.before()  # SQLite would make an empty file where one was deleted
        return self.engine.connect()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A connection that writes. The writer thread keeps its own: taking one from the pool is a tenth of a batch (measured)."""
        if threading.current_thread() is not self._writer:
            with self._connect().execution_options(writes=True) as connection:
                yield connection
            return
        if self._kept is not None and time.monotonic() > self._kept_until:
            self._let_go()
        if self._kept is None:
            self._kept = self._connect().execution_options(writes=True)
            self._cache(self._kept, WRITER_CACHE)
            self._opened += 1
        connection, self._kept = self._kept, None
        try:
            yield connection
        except BaseException:
            self._put_back(connection)
            raise
        self._kept, self._kept_until = connection, time.monotonic() + KEPT_SECONDS

    def _let_go(self) -> None:
        if self._kept is not None:
            self._put_back(self._kept)
            self._kept = None

    def _put_back(self, connection: Connection) -> None:
        if not connection.invalidated:
            with contextlib.suppress(connection.dialect.loaded_dbapi.Error):  # one that is broken is not used again
                self._cache(connection, READER_CACHE)
        connection.close()

    def _cache(self, connection: Connection, kibibytes: int) -> None:
        """How large this connection's cache may be. The driver is asked itself: a statement of SQLAlchemy's would begin a transaction."""
        driver: Any = connection.connection.driver_connection
        if self.is_sqlite:
            driver.execute(f"PRAGMA cache_size=-{kibibytes}")

    def _write(self, work: Callable[[Connection], T]) -> tuple[T, Any]:
        self._writes += 1
        return self._transact(work)

    def _run_jobs(self) -> None:
        turn = self._first
        while self._waiting.get():
            jobs = turn or self._first or self._others
            turn = self._others if jobs is self._first else self._first
            job, future = jobs.popleft()
            try:
                future.set_result(job())
            except BaseException as error:  # the caller gets it, whatever it is; the thread lives on
                future.set_exception(error)
            del job, future
        self._let_go()


def take_your_time(connection: Connection) -> None:
    """Has this transaction wait for locks, and run, as long as it takes: for what an operator does."""
    if connection.dialect.name == "postgresql":
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")


def violates(error: IntegrityError, constraint: str, *columns: str) -> bool:
    """Whether the unique constraint was hit; SQLite names its columns (`table.column`) instead of it."""
    diagnostics = getattr(error.orig, "diag", None)
    if diagnostics is not None:
        return bool(diagnostics.constraint_name == constraint)
    return all(column in str(error.orig) for column in columns)


def without_data(error: BaseException) -> BaseException:
    """The error, or for one of the database's what is left without the values that its text repeats."""
    if not isinstance(error, DBAPIError):
        return error
    diagnostics = getattr(error.orig, "diag", None)
    said = f"{diagnostics.sqlstate} {diagnostics.message_primary} {diagnostics.constraint_name or ''}" if diagnostics else str(error.orig)
    return RuntimeError(f"{type(error).__name__}: {said}").with_traceback(error.__traceback__)


def _engine(parsed: URL) -> Engine:
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            connect_args={"timeout": 5, "check_same_thread": False},
            hide_parameters=True,
            pool_size=5,
            max_overflow=MOST_CONNECTIONS - 5,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "after_cursor_execute", _notice_given_ids)
        return engine
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        connect_args=_NOTICED_WHEN_GONE | {"options": _SESSION},
        hide_parameters=True,  # addresses and user agents have no business in a log
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_timeout=5,
        max_overflow=PG_CONNECTIONS - 5,
    )
    event.listen(engine, "handle_error", _give_up_what_only_reads)
    event.listen(engine, "after_cursor_execute", _notice_given_ids)
    return engine


def _notice_given_ids(connection: Connection, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
    """Notices an insert into a table whose ids are never given again; what goes to the driver as text says so itself."""
    if context.isinsert and context.compiled is not None:
        table = context.compiled.statement.table
        if table.dialect_options["sqlite"]["autoincrement"]:
            connection.info[GAVE_IDS] = True


def _give_up_what_only_reads(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == PG_ONLY_READS:
        context.is_disconnect = True


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; _begin_sqlite does
    cursor = connection.cursor()
    # FULL: a commit is on the disk before it returns. 4,000 pages a checkpoint: measured, DESIGN §7. What is deleted
    # is overwritten, and no name is left in the file; most builds of SQLite do so anyway.
    for pragma in (
        "secure_delete=ON",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "wal_autocheckpoint=4000",
        f"cache_size=-{READER_CACHE}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("writes", False)
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy's own way to a statement takes ten times as long (measured)
        dialect = connection.dialect
        is_gone = dialect.is_disconnect(error, driver, None)
        raise DBAPIError.instance(None, None, error, dialect.loaded_dbapi.Error, True, is_gone, dialect) from error
