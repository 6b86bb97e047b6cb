"""One writer, no timer: clicks that come while a commit is under way wait for the next one, and share it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

import structlog

from server.model.click import SeenClick
from server.model.errors import DomainError, Reason
from server.store.database import Database
from server.store.recording import Recorder, Result

log = structlog.get_logger()

MOST_IN_COMMIT = 2000
"""Clicks in one transaction; more wait for the next one, so that no one waits long for the first."""


@dataclass(slots=True)
class _Waiting:
    batch: Sequence[SeenClick]
    done: Callable[[list[Result]], None]


class GroupCommit:
    """Takes batches of clicks from any thread and records them together."""

    def __init__(self, database: Database, most_waiting: int, clock: Callable[[], datetime], crm_is_remote: bool = False) -> None:
        self._database = database
        self._recorder = Recorder(database, clock, crm_is_remote)
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._count = 0
        self._scheduled = False
        self._lock = threading.Lock()

    def warm_up(self, click: SeenClick) -> "Future[None]":
        """Has the writer thread do, and undo, what such a click would: the next ones are faster. Raises DomainError."""
        return self._database.submit(lambda: self._recorder.warm_up(click))

    def submit(self, batch: Sequence[SeenClick], done: Callable[[list[Result]], None]) -> None:
        """Has a batch recorded, and calls `done` with its results, in order, in the writer thread. Raises CLICK_QUEUE_FULL."""
        with self._lock:
            if self._count and self._count + len(batch) > self._most_waiting:  # a batch may be larger than the queue, but not wait
                raise DomainError(Reason.click_queue_full, f"{self._count} clicks are waiting; try again shortly", waiting=self._count)
            self._count += len(batch)
            self._waiting.append(_Waiting(batch, done))
            if not self._scheduled:
                self._scheduled = True
                self._database.submit_first(self._commit)

    def _commit(self) -> None:
        taken = self._take()
        clicks = [seen for waiting in taken for seen in waiting.batch]
        try:
            results = self._recorder.record(clicks)
        except DomainError as error:
            results = [error] * len(clicks)
        except Exception as error:  # a defect must not leave a recipient waiting, nor end the writer thread
            log.error("clicks_not_recorded", clicks=len(clicks), exc_info=error)
            results = [DomainError(Reason.defect, "the click could not be recorded; the server's log says more")] * len(clicks)
        finally:
            with self._lock:
                self._count -= len(clicks)
                self._scheduled = bool(self._waiting)
                if self._scheduled:
                    self._database.submit_first(self._commit)
        start = 0
        for waiting in taken:
            waiting.done(results[start : start + len(waiting.batch)])
            start += len(waiting.batch)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        with self._lock:
            while self._waiting and (not taken or size + len(self._waiting[0].batch) <= MOST_IN_COMMIT):
                taken.append(self._waiting.popleft())
                size += len(taken[-1].batch)
        return taken
