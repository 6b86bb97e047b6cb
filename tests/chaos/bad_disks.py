"""Disks that are full, or fail: the server's, and the front door's."""

import asyncio
from collections.abc import Sequence

from tests.chaos.disk import Disk, State
from tests.chaos.frame import Run, Scene, scene, sound
from tests.chaos.proxy import Proxy

CALLERS, PAUSE = 16, 0.08
SOME = 150
"""Clicks that are answered in each state of the disk."""


async def database_disk(run: Run) -> None:
    """The disk of the server's database is full, then its fsync fails; recipients do not notice. Then its power is cut as well."""
    with Disk(run.folder / "disk") as disk:
        database = disk.folder / "chaos.db"
        async with scene(run, database_url=f"sqlite:///{database}") as here:
            async with here.browsers.clicking(CALLERS, PAUSE, run.seed):
                for number in range(run.count):
                    await here.live()
                    for state in ("full", "well", "failing", "well", "failing"):
                        disk.become(state)
                        await here.browsers.answered(SOME)
                        if state == "full":
                            async with asyncio.timeout(20):  # the operator is told, by its name
                                while not here.house.server.logged("event='database_failed' cause='DISK_FULL'"):
                                    await asyncio.sleep(0.05)
                    await asyncio.to_thread(here.house.server.kill)
                    await asyncio.to_thread(disk.cut, run.seed + number)
                    disk.become("well")
                    await asyncio.to_thread(here.house.server.start, "event='serving'")
            here.expect_nobody_refused()
            await here.compare()
        run.problems += sound(database)
    run.remarks.insert(0, f"{run.count} times ENOSPC, EIO from fsync, and a power cut after that")


async def front_disk(run: Run) -> None:
    """The front door's own disk is full, fails or hangs, while the server is there and while it is away.

    It waits for a slow server longer than it would: a click is refused when both its disk fails and the server has no time.
    """
    async with Proxy() as network:
        with Disk(run.folder / "house" / "front") as disk:
            async with scene(run, network=network, commit_seconds="2") as here:
                for number in range(run.count):
                    await _bad_front(here, disk, network, run.seed + number)
                network.mend()
                await here.compare()
    run.remarks.insert(0, f"{run.count} times ENOSPC, EIO from fsync, no answer, and a power cut after that")


async def _bad_front(here: Scene, disk: Disk, network: Proxy, seed: int) -> None:
    front = here.house.front
    assert front is not None
    await here.oracle.send_more()
    async with here.browsers.clicking(CALLERS, PAUSE, seed):
        await here.browsers.answered(SOME)
        for state in ("full", "failing", "hanging"):  # the server is there: the journal is not needed
            disk.become(state)
            await here.browsers.answered(SOME)
        disk.become("well")
        network.cut()
        await here.browsers.answered(SOME)
        disk.become("full")  # what the journal has reserved is its own
        await here.browsers.answered(SOME)
        here.expect_nobody_refused()
        unable: Sequence[State] = ("hanging", "failing")
        for state in unable:  # nothing can be kept any more, and nobody is told otherwise
            disk.become("well")
            await here.browsers.answered(SOME)
            disk.become(state)
            refused = here.browsers.told.refusals
            async with asyncio.timeout(60):
                while here.browsers.told.refusals < refused + SOME:
                    await asyncio.sleep(0.01)
        await asyncio.to_thread(front.kill)
        await asyncio.to_thread(disk.cut, seed)
        disk.become("well")
        await asyncio.to_thread(front.start, "event='serving'")
        await here.browsers.answered(SOME)
        network.mend()
    await here.drained()
    here.browsers.told.refusals = here.browsers.told.broken = 0
