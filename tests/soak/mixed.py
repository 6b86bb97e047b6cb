"""An hour, or less, of mixed load on one database: recipients who click, marketers who work, and a restart now and then.

At the end every figure and every effect is compared with what recipients were told: 0 lost, 0 double, 0 wrong addresses, memory flat.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.machine import memory_mb
from redirect.segments import segments_in
from tests.soak.comparison import Comparison
from tests.soak.marketers import Marketers
from tests.soak.memory import SAMPLE_SECONDS, Memory, Sample
from tests.soak.recipients import Recipients
from tests.soak.world import World
from tests.support.house import House
from tests.support.receivers import Receiver, ok

RESTART_SECONDS = 600.0
"""Between two restarts; a short run has three all the same."""
CALM_SECONDS = 3.0
"""Before a restart nothing is edited, so that the front door has heard of it all."""
SETTLE_SECONDS = 180.0
"""How long the last events, and the journal, may take after the end: the leases of a server that was killed end first."""


@dataclass(frozen=True, slots=True)
class Mix:
    """One run. `restarts` None: one in ten minutes, three at least."""

    name: str
    database_url: str
    folder: Path
    seconds: float
    rate: float
    seed: int
    people: int = 1000
    hurry: float = 1.0
    restarts: int | None = None


class MixedLoad:
    """One run: `load` it, then `compare`."""

    def __init__(self, mix: Mix, house: House, receiver: Receiver) -> None:
        self._mix = mix
        self._house = house
        self.world = World(house, receiver, mix.people, mix.seed)
        self.recipients = Recipients(self.world)
        self.memory = {"server": Memory(), "front door": Memory()}
        self._lives = {"server": 0, "front door": 0}
        self._began = 0.0
        self.restarts = 0

    async def load(self) -> None:
        """Starts the house and keeps it under load for the time."""
        await asyncio.to_thread(self._house.start)
        await self.world.prepare()
        for _ in range(3):
            await self.world.send(min(100, self._mix.people))
        await asyncio.sleep(1)
        self._began = time.time()
        until = self._began + self._mix.seconds
        watching = [asyncio.create_task(each()) for each in (self._tell, self._sample, self._take_events)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.recipients.click(self._mix.rate, until))
            tasks.create_task(Marketers(self.world, self._mix.hurry).work(until))
            tasks.create_task(self._restart_now_and_then(until))
        for task in watching:
            task.cancel()

    async def compare(self, settle: float = SETTLE_SECONDS) -> list[str]:
        """What is wrong once all has settled, or after so many seconds."""
        deadline = time.time() + settle
        while True:
            self.world.take_events()
            waiting = sum(_has_clicks(path) for path in segments_in(self._journal))
            problems = await Comparison(self.world).problems() if not waiting else [f"{waiting} segments of the journal wait"]
            if not problems or time.time() > deadline:
                break
            await asyncio.sleep(2)
        told = self.recipients.told
        problems += [f"wrong answer: {each}" for each in told.wrong]
        problems += [f"{count} recipients got nothing: {what}" for what, count in told.refused.items()]
        problems += [
            f"the journal has put something into {name}/" for name in ("rejected", "damaged") if any((self._journal / name).glob("*"))
        ]
        return problems + [each for name, memory in self.memory.items() for each in memory.problems(name)]

    @property
    def _journal(self) -> Path:
        return self._house.directory / "front" / "journal"

    def summary(self) -> str:
        """What the run was."""
        told, world = self.recipients.told, self.world
        flat = ", ".join(
            f"{name} {each.per_hour():+.1f} MB/h over {each.judged_seconds() / 60:.0f} min" for name, each in self.memory.items()
        )
        answered = f"{told.answered:,} clicks answered, {told.away:,} of them while the server was away"
        others = f"{world.calls:,} other calls, {world.again:,} of them again, {len(world.mailings)} mailings, {self.restarts} restarts"
        return f"{self._mix.name}, seed {self._mix.seed}: {answered}, {len(world.ledger.unscripted)} scripts too slow, {others}; {flat}"

    async def _restart_now_and_then(self, until: float) -> None:
        """In turns: the server is stopped and started, the front door's workers are replaced, the server is killed and started."""
        pause = min(RESTART_SECONDS, self._mix.seconds / 4)
        most = self._mix.restarts if self._mix.restarts is not None else 1_000_000
        turns = [self._house.server.stop, None, self._house.server.kill]
        while self.restarts < most and time.time() + pause < until:
            await asyncio.sleep(pause - CALM_SECONDS)
            end = turns[self.restarts % len(turns)]
            self.restarts += 1
            if end is None:
                assert self._house.front is not None
                os.kill(self._house.front.pid, signal.SIGHUP)
                self._lives["front door"] += 1
                print(f"{self._mix.name}: SIGHUP to the front door", flush=True)
                continue
            self.world.calm.clear()
            await asyncio.sleep(CALM_SECONDS)
            away = [time.time(), float("inf")]
            self.world.aways.append(away)
            await asyncio.to_thread(end)
            ended = time.time()
            await asyncio.to_thread(self._house.server.start, "event='serving'")
            started = time.time()
            await asyncio.to_thread(self._house.wait_connected)
            away[1] = time.time()
            self._lives["server"] += 1
            taken = f"{ended - away[0]:.1f} s to end, {started - ended:.1f} s to start, {away[1] - started:.1f} s to be connected"
            print(f"{self._mix.name}: {end.__name__} of the server, {taken}", flush=True)
            self.world.calm.set()

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for name, process in (("server", self._house.server), ("front door", self._house.front)):
                if process is not None and process.running:
                    megabytes = await asyncio.to_thread(memory_mb, process.pid)
                    if not megabytes:  # it has ended meanwhile
                        continue
                    self.memory[name].samples.append(Sample(time.time() - self._began, megabytes, self._lives[name]))

    async def _tell(self) -> None:
        """A line a minute."""
        before = 0
        while True:
            await asyncio.sleep(60)
            told = self.recipients.told
            p50, p99 = told.percentiles()
            held = ", ".join(f"{name} {each.samples[-1].megabytes:.0f} MB" for name, each in self.memory.items() if each.samples)
            clicks = f"{told.answered:,} clicks, {(told.answered - before) / 60:.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms"
            bad = f"{len(told.wrong)} wrong, {told.refused.total()} refused"
            print(f"{self._mix.name} {(time.time() - self._began) / 60:.0f} min: {clicks}, {bad}; {held}", flush=True)
            before = told.answered

    async def _take_events(self) -> None:
        """Keeps the click of each event that came, and not its body."""
        while True:
            await asyncio.sleep(0.2)
            self.world.take_events()


def _has_clicks(segment: Path) -> bool:
    try:
        with segment.open("rb") as opened:
            return any(opened.read(16))
    except FileNotFoundError:  # it has just been emptied
        return False


@contextlib.asynccontextmanager
async def mixed_load(mix: Mix, **settings: str) -> AsyncIterator[MixedLoad]:
    """A run, not begun, with its receiver of events; its house ends with the block."""
    async with Receiver(ok) as receiver:
        house = House(mix.folder, mix.database_url, webhook_allow=receiver.pair, **settings)
        run = MixedLoad(mix, house, receiver)
        try:
            yield run
        finally:
            await run.world.close()
            await asyncio.to_thread(house.stop)
