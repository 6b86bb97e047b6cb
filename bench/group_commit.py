"""The group commit against one transaction per click, 64 callers, both with the same durability on the same kind of database.

In one process and without threads of callers: a caller is a callback that gives the next click as soon as the one before is durable.
So neither side pays for waking 64 threads, and what differs is only how many clicks share a transaction. End to end, the sender's own
batches and gRPC would be measured with it; that is `stream_vs_unary`.
"""

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from uuid_utils import uuid7

from bench.figure import Figure, Plan, ratio
from bench.rows import mailing_with_links
from server.clicks.group_commit import GroupCommit
from server.house import now
from server.model.click import Evidence, SeenClick
from server.store.database import Database
from server.store.migrate import migrate
from server.store.recording import Recorder

CALLERS = 64
PLACEMENTS = 10


def run(plan: Plan) -> Iterator[Figure]:
    """Clicks per second."""
    if plan.wants("group_commit_vs_single"):
        pairs = [(_recorded(plan.seconds, _grouped), _recorded(plan.seconds, _single)) for _ in range(plan.rounds)]
        what = f"one transaction per click, {CALLERS} callers, SQLite, WAL, synchronous=FULL"
        yield ratio("group_commit_vs_single", [one for one, _ in pairs], [one for _, one in pairs], what, floor=10.0, aim=20.0)


Recording = Callable[[SeenClick, Callable[[], None]], None]
"""Has a click recorded and calls what is given once it is durable."""


def _grouped(database: Database) -> Recording:
    commit = GroupCommit(database, 10_000, now)
    return lambda seen, done: commit.submit([seen], lambda _: done())


def _single(database: Database) -> Recording:
    recorder = Recorder(database, now)

    def record(seen: SeenClick, done: Callable[[], None]) -> None:
        database.submit(lambda: recorder.record([seen])).add_done_callback(lambda _: done())

    return record


def _recorded(seconds: float, made: Callable[[Database], Recording]) -> float:
    """Each click is another person's, on one of ten links of a mailing."""
    with (
        tempfile.TemporaryDirectory(prefix="trackedlinks-bench-") as directory,
        contextlib.closing(Database(f"sqlite:///{directory}/bench.db")) as database,
    ):
        migrate(database)
        database.write(lambda connection: [connection.exec_driver_sql(statement) for statement in mailing_with_links(1, 1, PLACEMENTS)])
        record = made(database)
        durable, open_callers, ended = 0, CALLERS, threading.Event()
        asked = 0
        start = time.perf_counter()
        deadline = start + seconds

        def ask() -> None:
            nonlocal asked
            asked += 1
            record(SeenClick(uuid7().bytes, 1 + asked % PLACEMENTS, 2 * asked, False, False, Evidence()), answered)

        def answered() -> None:
            nonlocal durable, open_callers
            durable += 1
            if time.perf_counter() < deadline:
                ask()
                return
            open_callers -= 1
            if not open_callers:
                ended.set()

        for _ in range(CALLERS):
            ask()
        ended.wait()
        taken = time.perf_counter() - start
        stored = database.read(lambda connection: connection.exec_driver_sql("SELECT SUM(clicks) FROM mailing_count").scalar())
        assert stored == durable, f"{durable} clicks were answered, {stored} are counted"
        return durable / taken
