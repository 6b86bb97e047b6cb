"""The snapshot: where every placement leads, on this machine's disk, for as long as the server or its database is away.

Answers are stored once each, by their hash, which also tells when one has been damaged: nobody is sent to what nobody has set.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from redirect.disk import CLOSE_SECONDS, DiskHangs, DiskThread, Groups
from trackedlinks.v1 import click_service_pb2

log = structlog.get_logger()

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS answer (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS placement (id INTEGER PRIMARY KEY, answer_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), position TEXT NOT NULL, complete INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, '', 0);
"""
_FORMAT = 2
"""Written into the file: what was told before it, in less detail, is told anew, and is good until then."""

_TOLD = b"\0"
"""What content begins with that is a PlacementAnswer, as no message does. Other content is a ClickAnswer, of an older front door."""

_ANSWER = "SELECT hash, content FROM answer JOIN placement ON answer.id = answer_id WHERE placement.id = ?"


ANSWER_SECONDS = 0.5
"""How long a recipient waits for the disk to tell where a link leads."""

MOST_IN_GROUP = 200
COMPLAIN_SECONDS = 5.0


class SnapshotRemoved(Exception):
    """An operator has removed the file: what is written to it nobody reads."""


@dataclass(frozen=True, slots=True)
class Known:
    """Where a placement leads."""

    answer: click_service_pb2.ClickAnswer
    """What a click there is answered by, without its id."""
    lets_leave: bool
    """A click there may let its recipient leave, or whether it does is not known."""
    depends_on_click: bool
    """The server would answer with more, of who clicks or when."""


class Snapshot:
    """A snapshot in a file. Any number of processes read it, one at a time writes it. A thread of its own reads it here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = DiskThread("snapshot")
        self._answers = Groups(self._thread, self._answers_of, MOST_IN_GROUP, ANSWER_SECONDS)
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        self._complained = float("-inf")

    async def answer(self, placement_id: int) -> Known | None:
        """What is known of a placement; None where nothing is, or where the disk does not tell in time."""
        try:
            return await self._answers.add(placement_id)
        except DiskHangs as error:
            self._complain(error)
            return None

    async def complete(self) -> bool:
        """Whether it has ever known every placement; False, too, where the disk does not tell in time."""
        try:
            return await self._thread.run_for(ANSWER_SECONDS, self._is_complete)
        except DiskHangs:
            return False

    async def close(self) -> None:
        """Lets go of the file, unless its disk hangs."""
        await self._thread.end_with(CLOSE_SECONDS, self._close)

    def _complain(self, error: DiskHangs) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            log.error("snapshot_failed", cause=error.strerror)

    def _answers_of(self, placement_ids: Sequence[int]) -> Sequence[Known | None]:
        try:
            connection = self._opened()
            return [_known(placement_id, connection.execute(_ANSWER, (placement_id,)).fetchone()) for placement_id in placement_ids]
        except (OSError, sqlite3.Error) as error:
            if not isinstance(error, FileNotFoundError):
                log.error("snapshot_failed", cause=str(error))
            self._close()
            return [None] * len(placement_ids)

    def _is_complete(self) -> bool:
        try:
            row = self._opened().execute("SELECT complete FROM state").fetchone()
        except (OSError, sqlite3.Error):
            return False
        return bool(row and row[0])

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        """The connection; a new one when the writer has begun another file. Raises OSError and sqlite3.Error."""
        file = os.stat(self._path).st_ino
        if self._connection is None or file != self._file:
            self._close()
            self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.05, check_same_thread=False)
            self._file = file
        return self._connection


class SnapshotWriter:
    """The one who writes it. Every method blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        self._lock = -1

    def hold(self) -> None:
        """Is from now on the only one of this machine who writes it. Raises BlockingIOError when another process does; OSError."""
        self.let_go()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._path.parent / "snapshot.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(self) -> None:
        """Leaves it to others. Safe to call twice."""
        self.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def position(self) -> tuple[str, int]:
        """How far it has come, empty: nothing is known; and the highest placement that it knows, or 0.

        A damaged file is begun anew. Raises OSError and sqlite3.Error.
        """
        try:
            return self._position()
        except sqlite3.OperationalError:
            raise  # the disk, or a lock: not the file's fault
        except sqlite3.DatabaseError as error:
            log.error("snapshot_damaged", cause=str(error))
            self.begin_anew()
            return self._position()

    def apply(self, told: click_service_pb2.WatchPlacementsResponse) -> None:
        """Stores what the server has told, all or nothing. Raises sqlite3.Error and SnapshotRemoved."""
        self.refuse_removed()
        with self._writing, self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for answer in told.answers:
                content = _content(answer)
                connection.execute("INSERT OR IGNORE INTO answer (hash, content) VALUES (?, ?)", (_hash(content), content))
                (answer_id,) = connection.execute("SELECT id FROM answer WHERE hash = ?", (_hash(content),)).fetchone()
                rows = ((placement_id, answer_id) for placement_id in answer.placement_ids)
                connection.executemany("INSERT OR REPLACE INTO placement VALUES (?, ?)", rows)
            connection.execute("UPDATE state SET position = ?, complete = complete OR ?", (told.position, not told.answers))

    def refuse_removed(self) -> None:
        """Returns when the file that is written stands where readers look for it. Raises SnapshotRemoved."""
        try:
            file = os.stat(self._path).st_ino
        except FileNotFoundError:
            raise SnapshotRemoved from None
        if self._connection is not None and file != self._file:
            raise SnapshotRemoved

    def begin_anew(self) -> None:
        """Removes the file: the server tells everything again. Raises OSError."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Lets go of the file, after what is being written."""
        with self._writing, contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _position(self) -> tuple[str, int]:
        with self._writing:  # closed meanwhile, SQLite would take the process with it (tried)
            position, highest = self._opened().execute("SELECT position, (SELECT max(id) FROM placement) FROM state").fetchone()
        return str(position), highest or 0

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
            try:
                connection.executescript(_SCHEMA)
                if connection.execute("PRAGMA user_version").fetchone() != (_FORMAT,):
                    connection.executescript(f"BEGIN; UPDATE state SET position = ''; PRAGMA user_version = {_FORMAT}; COMMIT")
                connection.execute("PRAGMA synchronous = FULL")  # after a power cut the server may be away, and tells nothing again
            except sqlite3.Error:
                connection.close()
                raise
            self._connection, self._file = connection, os.stat(self._path).st_ino
        return self._connection


def _known(placement_id: int, row: tuple[bytes, object] | None) -> Known | None:
    if row is None:
        return None
    stored, content = row
    if not isinstance(content, bytes) or _hash(content) != stored:
        log.error("snapshot_damaged", placement=placement_id)
        return None
    if not content.startswith(_TOLD):
        return Known(click_service_pb2.ClickAnswer.FromString(content), lets_leave=True, depends_on_click=False)
    told = click_service_pb2.PlacementAnswer.FromString(content.removeprefix(_TOLD))
    match told.WhichOneof("result"):
        case "location":
            answer = click_service_pb2.ClickAnswer(location=told.location)
        case "page":
            answer = click_service_pb2.ClickAnswer(page=told.page)
        case _:
            answer = click_service_pb2.ClickAnswer(special_link=told.special_link)
    return Known(answer, told.lets_leave, told.depends_on_click)


def _content(answer: click_service_pb2.PlacementAnswer) -> bytes:
    """What is stored of an answer: the same for all placements that share it."""
    standing = click_service_pb2.PlacementAnswer()
    standing.CopyFrom(answer)
    standing.ClearField("placement_ids")
    return _TOLD + bytes(standing.SerializeToString(deterministic=True))


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
