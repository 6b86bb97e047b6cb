"""Kills by the hundred: of the front door, of the server behind it."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from tests.chaos.frame import Run, Scene, scene
from tests.chaos.proxy import Proxy

CALLERS, PAUSE = 16, 0.08
BETWEEN = (1, 150)
"""Clicks that are answered between two kills, at least and at most."""


async def kill_front_door(run: Run) -> None:
    """The front door, or one of its two workers, is killed again and again while the server is now there and now away."""
    async with Proxy() as network, scene(run, network=network, front_workers="2") as here:
        front = here.house.front
        assert front is not None
        workers = 0

        async def kill(chance: random.Random) -> None:
            nonlocal workers
            network.cut() if chance.random() < 0.5 else network.mend()
            if chance.random() < 0.5 and (children := front.children):
                os.kill(chance.choice(children), signal.SIGKILL)
                workers += 1
                return
            await asyncio.to_thread(front.kill)
            await asyncio.to_thread(front.start, "event='serving'")

        await _again_and_again(here, kill)
        network.mend()
        here.expect_nobody_refused(broken=True)
        await here.compare()
    run.remarks.insert(0, f"{run.count} kills, {workers} of them of one worker of two")


async def kill_server(run: Run) -> None:
    """The server is killed again and again; recipients do not notice."""
    async with scene(run) as here:

        async def kill(_: random.Random) -> None:
            await here.live()
            await asyncio.to_thread(here.house.server.kill)
            await asyncio.to_thread(here.house.server.start, "event='serving'")

        await _again_and_again(here, kill)
        here.expect_nobody_refused()
        await here.compare()
    run.remarks.insert(0, f"{run.count} kills")


async def _again_and_again(here: Scene, kill: Callable[[random.Random], Awaitable[None]]) -> None:
    chance = random.Random(here.run.seed)
    async with here.browsers.clicking(CALLERS, PAUSE, here.run.seed):
        for _ in range(here.run.count):
            await here.oracle.send_more()
            await here.browsers.answered(chance.randint(*BETWEEN))
            await kill(chance)
        await here.browsers.answered(1)
