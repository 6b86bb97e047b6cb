"""Power cuts: under SQLite, under the journal, and the control without which neither would say anything."""

import asyncio
import random

from tests.chaos.disk import Disk, Seed
from tests.chaos.frame import Run, scene, sound
from tests.chaos.proxy import Proxy
from tests.support.house import Process

CALLERS, PAUSE = 16, 0.04
CLICKS_A_CUT = 700
"""URLs for each cut: what is clicked until the server is back, and some more."""


async def cut_under_sqlite(run: Run) -> None:
    """Power is cut under the server's database: it is killed, its disk loses what was not synced, and it starts again."""
    chance = random.Random(run.seed)
    with Disk(run.folder / "disk") as disk:
        database = disk.folder / "chaos.db"
        async with scene(run, run.count * CLICKS_A_CUT, f"sqlite:///{database}") as here:
            async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                for number in range(run.count):
                    await here.browsers.answered(chance.randint(1, 150))
                    await _cut(here.house.server, disk, run.seed + number if number % 4 else "all")
            here.expect_nobody_refused()
            await here.compare()
        run.problems += sound(database)
    run.remarks.insert(0, f"{run.count} power cuts")


async def cut_under_journal(run: Run) -> None:
    """Power is cut under the front door's journal, most of the time while the server is away."""
    chance = random.Random(run.seed)
    async with Proxy() as network:
        with Disk(run.folder / "house" / "front") as disk:
            async with scene(run, run.count * CLICKS_A_CUT, network=network) as here:
                assert here.house.front is not None
                async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                    for number in range(run.count):
                        network.mend() if chance.random() < 0.3 else network.cut()
                        await here.browsers.answered(chance.randint(1, 150))
                        await _cut(here.house.front, disk, run.seed + number if number % 4 else "all")
                    network.mend()
                here.expect_nobody_refused(broken=True)
                await here.compare()
    run.remarks.insert(0, f"{run.count} power cuts")


async def careless_control(run: Run) -> None:
    """The control: a server that does not wait for its disk must lose clicks, or the disk of these runs proves nothing."""
    with Disk(run.folder / "disk") as disk:
        async with scene(run, 2000, f"sqlite:///{disk.folder}/chaos.db") as here:
            honest = here.house.server
            await asyncio.to_thread(honest.stop)
            here.house.server = careless = Process("tests.chaos.careless_server", here.house.environment)
            await asyncio.to_thread(careless.start, "event='serving'")
            async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                await here.browsers.answered(500)
            await asyncio.to_thread(careless.kill)
            await asyncio.to_thread(disk.cut, "all")
            here.house.server = honest
            await asyncio.to_thread(honest.start, "event='serving'")
            lost = [problem for problem in await here.oracle.problems() if "answered and lost" in problem]
    run.expect(bool(lost), "the control did not fail: no click was lost without fsync")
    run.remarks.insert(0, f"synchronous=OFF lost {len(lost)} answered clicks of {len(here.oracle.answered)}, as it must")


async def _cut(process: Process, disk: Disk, seed: Seed) -> None:
    await asyncio.to_thread(process.kill)
    await asyncio.to_thread(disk.cut, seed)
    await asyncio.to_thread(process.start, "event='serving'")
