"""What every fault has around it: a house, recipients who click, and the comparison with what they were told."""

import asyncio
import contextlib
import itertools
import shutil
import sqlite3
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from redirect.segments import segments_in
from redirect.snapshot import Snapshot
from tests.chaos.browsers import Browsers
from tests.chaos.oracle import FEW, Oracle
from tests.chaos.proxy import Proxy
from tests.support.house import House

DRAIN_SECONDS = 10.0
"""How long the journal may take to be empty once the server is well."""

START_SECONDS = 20.0
LIVE_SECONDS = 1.0
"""How long the journal may take to be empty before it does not matter."""


@dataclass(slots=True)
class Run:
    """One fault, again and again: what it is told, and what it found."""

    name: str
    folder: Path
    seed: int
    count: int
    seconds: float = 60
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the line says besides: what was injected, how many clicks, how long answers took."""

    def expect(self, holds: bool, otherwise: str) -> None:
        """Notes a problem unless something holds."""
        if not holds:
            self.problems.append(otherwise)


Fault = Callable[[Run], Coroutine[None, None, None]]


def hold(run: Run, fault: Fault) -> bool:
    """Runs one fault and prints what came of it; whether all held. Its folder goes."""
    started = time.monotonic()
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(fault(run))
    except Exception:  # what broke off is a fault that did not hold, and the others go on
        run.problems.append(traceback.format_exc())
    took = f"{time.monotonic() - started:.0f} s"
    told = [f"{run.name}, seed {run.seed}, {took}: {', '.join(run.remarks)}: {len(run.problems)} problems", *run.problems[:10]]
    print("\n  ".join(told), flush=True)
    shutil.rmtree(run.folder, ignore_errors=True)
    return not run.problems


@dataclass(frozen=True, slots=True)
class Scene:
    """A house under load, and the oracle."""

    run: Run
    house: House
    oracle: Oracle
    browsers: Browsers

    @property
    def journal(self) -> Path:
        """The folder of the front door's journal."""
        return self.house.directory / "front" / "journal"

    @property
    def waiting(self) -> int:
        """How many segments of the journal have a click in them."""
        waiting = 0
        for path in segments_in(self.journal):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as segment:
                waiting += any(segment.read(16))
        return waiting

    async def live(self) -> None:
        """Returns when the server stores clicks, if possible those of recipients who wait for it; sees to URLs for more of them."""
        await self.oracle.send_more()
        counted, started = await self.oracle.counted(), time.monotonic()
        async with asyncio.timeout(START_SECONDS):
            while await self.oracle.counted() == counted or (self.waiting and time.monotonic() < started + LIVE_SECONDS):
                await asyncio.sleep(0.02)

    async def drained(self, within: float = DRAIN_SECONDS) -> None:
        """Returns when the journal is empty and everything that was answered is counted; that it takes too long is a problem of the run."""
        started = time.monotonic()
        while (waiting := self.waiting) or await self.oracle.counted() < len(self.oracle.answered):
            if time.monotonic() - started > within:
                counted = f"{await self.oracle.counted()} clicks of {len(self.oracle.answered)} are counted"
                self.run.problems.append(f"after {within:g} s {waiting} segments of the journal wait, {counted}")
                return
            await asyncio.sleep(0.05)

    async def compare(self, within: float = DRAIN_SECONDS) -> None:
        """Waits until the journal is empty and compares with what recipients were told; whatever differs is a problem of the run."""
        run, oracle = self.run, self.oracle
        started = time.monotonic()
        await self.drained(within)
        run.remarks.append(f"journal empty after {time.monotonic() - started:.1f} s")
        run.problems += await oracle.problems()
        for apart in ("rejected", "damaged"):
            run.expect(not any((self.journal / apart).glob("*")), f"the journal has put something into {apart}/")
        told = self.browsers.told
        counts = f"{told.redirects:,} redirects, {told.refusals} refusals, {told.broken} broken connections"
        run.remarks.append(f"{counts}, p99 {told.p99_ms:.0f} ms")
        run.expect(bool(told.redirects), "nobody was redirected, so nothing was tried")

    def expect_nobody_refused(self, broken: bool = False) -> None:
        """Everybody was redirected, or the run has a problem; connections may break when it is the front door that is killed."""
        told = self.browsers.told
        self.run.expect(not told.refusals, f"{told.refusals} recipients were refused: {dict(self.oracle.statuses)}")
        self.run.expect(broken or not told.broken, f"{told.broken} connections broke")


@contextlib.asynccontextmanager
async def scene(
    run: Run, clicks: int = 2 * FEW, database_url: str = "", network: Proxy | None = None, **settings: str
) -> AsyncIterator[Scene]:
    """A house whose front door knows where every URL of so many clicks leads; ends with its processes."""
    if network is not None:
        settings["server"] = f"127.0.0.1:{network.port}"
    house = House(run.folder / "house", database_url or f"sqlite:///{run.folder}/chaos.db", **settings)
    if network is not None:
        network.target = house.server_port
    try:
        await asyncio.to_thread(house.start)
        oracle = Oracle(house)
        await oracle.prepare()
        await oracle.send(clicks)
        snapshot = Snapshot(house.directory / "front" / "snapshot.db")
        deadline = time.monotonic() + START_SECONDS
        while None in await asyncio.gather(*map(snapshot.answer, oracle.placement_ids)):
            assert time.monotonic() < deadline, "the front door was not told where links lead"
            await asyncio.sleep(0.05)
        await snapshot.close()
        yield Scene(run, house, oracle, Browsers(oracle, house.front_port))
    finally:
        await asyncio.to_thread(house.stop)


def sound(database: Path) -> list[str]:
    """What SQLite finds wrong with a database that nobody has open."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        told = [str(row[0]) for row in itertools.islice(connection.execute("PRAGMA integrity_check"), 5)]
    return [] if told == ["ok"] else [f"integrity check: {line}" for line in told]
