"""Work that is done again and again while the server runs, and is never broken off in its midst."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


class Repeating:
    """Does something at once, and again after each pause."""

    def __init__(self, work: Callable[[], Awaitable[None]], pause_seconds: float) -> None:
        """`work` raises nothing: what can go wrong is answered by whoever knows what it means."""
        self._work = work
        self._pause_seconds = pause_seconds
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether it is to end: work that takes long looks now and then."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begins. Needs a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends after the work under way: cancelled, it would go on in its thread while the database is closed."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self.stopping:
            await self._work()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_seconds):
                    await self._stopping.wait()
