"""How long each job holds SQLite's one writer, in units that no machine changes: what SQLite and Python do meanwhile."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Engine, event

from server.store.database import Database

STEPS = 100
"""Instructions of SQLite's machine between two ticks."""


@dataclass(frozen=True, slots=True)
class Held:
    """One job of the writer thread: instructions of SQLite's machine, and calls of functions in Python."""

    job: str
    instructions: int
    calls: int

    @property
    def cost(self) -> int:
        """Both together, in instructions: a call takes about as long as six of them (measured)."""
        return self.instructions + 6 * self.calls


@contextlib.contextmanager
def watched_writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Held]]:
    """The jobs that writer threads of databases opened within the block have done, in order."""
    ticks, calls = [0], [0]
    jobs: list[Held] = []
    submits = {name: getattr(Database, name) for name in ("submit", "submit_first")}

    def tick() -> int:
        in_writer = threading.current_thread().name == "writer"
        ticks[0] += in_writer
        calls[0] -= in_writer * CALLS_OF_A_TICK
        return 0

    def count(_frame: FrameType, _event: str, _argument: Any) -> None:
        calls[0] += _event in ("call", "c_call")

    def watch(driver: Any, _record: Any) -> None:
        driver.set_progress_handler(tick, STEPS)

    def watched(submit: Callable[[Database, Callable[[], Any]], Any], database: Database, job: Callable[[], Any]) -> Any:
        def run() -> Any:
            before = ticks[0], calls[0]
            sys.setprofile(count)
            try:
                return job()
            finally:
                sys.setprofile(None)
                jobs.append(Held(getattr(job, "__name__", ""), STEPS * (ticks[0] - before[0]), calls[0] - before[1]))

        return submit(database, run)

    event.listen(Engine, "connect", watch)
    for name, submit in submits.items():
        monkeypatch.setattr(Database, name, lambda database, job, submit=submit: watched(submit, database, job))
    try:
        yield jobs
    finally:
        event.remove(Engine, "connect", watch)


CALLS_OF_A_TICK = 4
"""What the counting itself calls: the tick, and what it asks."""
