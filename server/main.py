"""Starts the server, and stops it so that nothing is lost: its database, its log, the signals that end it."""

import asyncio
import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvloop

from server.house import wire
from server.keyring import no_database, refuse_missing
from server.logs import configure_logs
from server.model.errors import DomainError
from server.settings import Settings
from server.store.address import without_password
from server.store.database import Database
from server.store.given_ids import AHEAD, move_ahead
from server.store.keys import KeyStore
from server.store.mark_file import MarkFile
from server.store.migrate import WrongVersion, check, migrate

log = structlog.get_logger()

SWITCH_SECONDS = 0.0005
"""Measured beside eight clients that list without pause, docs/adr/0019: a click takes half as long as with Python's own 5 ms."""

ENOUGH_OPEN_FILES = 4096


async def serve(settings: Settings, new_database: bool = False) -> None:
    """Serves until SIGTERM or SIGINT. Raises SystemExit, saying what to do, when it cannot start."""
    assert settings.key_file is not None
    assert settings.mark_file is not None
    database = open_database(settings, None if new_database else settings.key_file)
    try:
        try:
            if settings.key_file.exists() and not KeyStore(database).fingerprints():
                if not new_database:
                    raise SystemExit(no_database(settings.key_file, settings.database_url))
                _move_ahead(database, settings)
            house = wire(settings, database)
        except DomainError as error:
            raise SystemExit(_words(error, settings)) from error
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        # A thread that wants the interpreter waits so long for one that computes, and the clicks' loop and writer want it again and again.
        sys.setswitchinterval(SWITCH_SECONDS)
        await house.start()
        # A batch of clicks makes thousands of objects and no cycle: looking for garbage after every 700 costs a tenth of it (measured).
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        log.info("serving", address=f"{settings.listen.rpartition(':')[0]}:{house.serving.port}", database=database.dialect)
        await stop.wait()
        log.info("stopping")
        await house.stop(settings.drain_seconds, settings.notice_seconds)
    finally:
        database.close()
    log.info("stopped")


def open_database(settings: Settings, keys_that_need_it: Path | None = None, apply: bool = False) -> Database:
    """The database, in the state that this code expects: SQLite is migrated here, PostgreSQL by `python -m server migrate` (`apply`).

    Raises SystemExit, saying what is wrong, when it cannot be used, or is not there although these keys are.
    """
    try:
        database = Database(settings.database_url)
    except DomainError as error:
        raise SystemExit(f"{error} (TRACKEDLINKS_DATABASE_URL)") from None
    try:
        if keys_that_need_it is not None:
            refuse_missing(keys_that_need_it, settings.database_url)
        if database.is_sqlite or apply:
            migrate(database)
        else:
            check(database)
    except WrongVersion as error:
        database.close()
        raise SystemExit(str(error)) from error
    except DomainError as error:
        database.close()
        raise SystemExit(_words(error, settings)) from error
    except SystemExit:
        database.close()
        raise
    return database


def _words(error: DomainError, settings: Settings) -> str:
    return f"{error.message.removesuffix('; nothing was stored')} ({without_password(settings.database_url)})"


def restored(settings: Settings) -> None:
    """Moves all ids of a database that was put back ahead: none comes again. Raises SystemExit, saying what to do, when it cannot."""
    with only_one(settings):
        database = open_database(settings)
        try:
            _move_ahead(database, settings)
        finally:
            database.close()
    sys.stderr.write(f"every id that is given from now on is higher by {AHEAD:,}; start the servers\n")


def _move_ahead(database: Database, settings: Settings) -> None:
    assert settings.mark_file is not None
    try:
        move_ahead(database, MarkFile(settings.mark_file))
    except (OSError, ValueError, DomainError) as error:
        raise SystemExit(f"the ids cannot be moved ahead: {error}") from error


def run(settings: Settings, new_database: bool = False) -> None:
    """Serves with uvloop and structured logs on standard error."""
    configure_logs()
    _raise_open_files()
    with only_one(settings):
        uvloop.run(serve(settings, new_database))


def make_directory(settings: Settings) -> None:
    """Makes the directory where there is none. Raises SystemExit when it cannot."""
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{settings.directory} cannot be used: {error.strerror} (TRACKEDLINKS_DIRECTORY sets another)") from None


def _raise_open_files() -> None:
    """Takes as many open files as the system lets it: each caller, reader and script worker has some, and 1,024 is usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= allowed < ENOUGH_OPEN_FILES:
        log.warning("few_open_files", allowed=allowed, remedy=f"raise the hard limit (LimitNOFILE, ulimit -Hn) to {ENOUGH_OPEN_FILES}")


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Holds the directory for this process if its database is the embedded one. Raises SystemExit, naming the process that has it."""
    make_directory(settings)
    try:
        lock_file = (settings.directory / "server.lock").open("a+")
    except OSError as error:
        raise SystemExit(f"{settings.directory} cannot be used: {error.strerror} (TRACKEDLINKS_DIRECTORY sets another)") from None
    if not settings.database_url.startswith("sqlite"):
        lock_file.close()
        yield
        return
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise SystemExit(f"{settings.directory} is in use by the server with process id {lock.read().strip() or 'unknown'}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
