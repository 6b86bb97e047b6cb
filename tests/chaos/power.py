"""Power cuts: under SQLite, under the journal, and the control without which neither would say anything."""

import asyncio
import random

from tests.chaos.disk import Disk, Seed
from tests.chaos.frame import Run, Scene, scene, sound
from tests.chaos.proxy import Proxy
from tests.support.house import Process

CALLERS, PAUSE = 16, 0.08


async def cut_under_sqlite(run: Run) -> None:
    """Power is cut under the server's database: it is killed, its disk loses what was not synced, and it starts again."""
    chance = random.Random(run.seed)
    with Disk(run.folder / "disk") as disk:
        database = disk.folder / "chaos.db"
        async with scene(run, database_url=f"sqlite:///{database}") as here:
            async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                for number in range(run.count):
                    await here.live()
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
            async with scene(run, network=network) as here:
                assert here.house.front is not None
                async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                    for number in range(run.count):
                        await here.oracle.send_more()
                        network.mend() if chance.random() < 0.3 else network.cut()
                        await here.browsers.answered(chance.randint(1, 150))
                        await _cut(here.house.front, disk, run.seed + number if number % 4 else "all")
                    network.mend()
                here.expect_nobody_refused(broken=True)
                await here.compare()
    run.remarks.insert(0, f"{run.count} power cuts")


async def careless_server(run: Run) -> None:
    """A control: a server that does not wait for its disk must lose clicks, or the disk of these runs proves nothing."""
    with Disk(run.folder / "disk") as disk:
        async with scene(run, database_url=f"sqlite:///{disk.folder}/chaos.db") as here:
            honest = here.house.server
            await asyncio.to_thread(honest.stop)
            here.house.server = careless = Process("tests.chaos.careless_server", here.house.environment)
            await asyncio.to_thread(careless.start, "event='serving'")
            async with here.browsers.clicking(1, PAUSE, run.seed):
                await here.live()  # else the clicks are in the journal, which is not careless
            await _lose(here, careless, disk)
            here.house.server = honest
            await asyncio.to_thread(honest.start, "event='serving'")
            await _expect_loss(here, "synchronous=OFF")


async def careless_front(run: Run) -> None:
    """A control: a front door that does not wait for its journal's disk must lose clicks while the server is away."""
    async with Proxy() as network:
        with Disk(run.folder / "house" / "front") as disk:
            async with scene(run, network=network) as here:
                honest = here.house.front
                assert honest is not None
                await asyncio.to_thread(honest.stop)
                network.cut()
                here.house.front = careless = Process("tests.chaos.careless_front", here.house.environment)
                await asyncio.to_thread(careless.start, "event='serving'")
                await _lose(here, careless, disk)
                here.house.front = honest
                await asyncio.to_thread(honest.start, "event='serving'")
                network.mend()
                await asyncio.to_thread(here.house.wait_ready)
                await _expect_loss(here, "a journal without fdatasync")


async def _lose(here: Scene, careless: Process, disk: Disk) -> None:
    async with here.browsers.clicking(CALLERS, PAUSE, here.run.seed):
        await here.browsers.answered(300)
    await asyncio.to_thread(careless.kill)
    await asyncio.to_thread(disk.cut, "all")


async def _expect_loss(here: Scene, what: str) -> None:
    while here.waiting:  # what the journal still has is not lost
        await asyncio.sleep(0.05)
    lost = [problem for problem in await here.oracle.problems() if "answered and lost" in problem]
    here.run.expect(bool(lost), f"the control did not fail: {what} lost nothing")
    here.run.remarks.append(f"{what} lost {len(lost)} answered clicks of {len(here.oracle.answered)}, as it must")


async def _cut(process: Process, disk: Disk, seed: Seed) -> None:
    await asyncio.to_thread(process.kill)
    await asyncio.to_thread(disk.cut, seed)
    await asyncio.to_thread(process.start, "event='serving'")
