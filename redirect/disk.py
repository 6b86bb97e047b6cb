"""Work that waits for a disk, in threads of its own: a disk that hangs holds up nobody who does not need it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, ParamSpec, TypeVar

CLOSE_SECONDS = 1.0
"""How long whoever ends waits for a disk."""

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")


class DiskHangs(OSError):
    """The disk has not answered in time. What was asked of it may happen all the same, later."""

    def __init__(self) -> None:
        super().__init__(0, "the disk does not answer")


class DiskThread:
    """One thread, which does one thing after the other.

    A daemon: the threads of a ThreadPoolExecutor, and those of asyncio.to_thread, keep a process from ending for as long as a disk hangs.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def run(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> "asyncio.Future[T]":
        """What the work returns or raises. Cancelled before it begins, it never does; once begun, it goes on."""
        future: Future[T] = Future()
        self._jobs.put(partial(_do, future, partial(work, *arguments, **named)))
        return asyncio.wrap_future(future)

    async def run_for(self, seconds: float, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The same, for so long at most. Raises DiskHangs after that."""
        running = self.run(work, *arguments, **named)
        done, _ = await asyncio.wait([running], timeout=seconds)
        if not done:
            running.cancel()
            raise DiskHangs
        return running.result()

    def end(self) -> None:
        """Ends after what it has to do by now, and does not wait for that."""
        self._jobs.put(None)

    async def end_with(self, seconds: float, work: Callable[[], None]) -> None:
        """Does this last, after what it has to do by now, and ends. Waits for so long at most; what it waits for happens all the same."""
        running = self.run(work)
        self.end()
        if (await asyncio.wait([running], timeout=seconds))[0]:
            running.result()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _do(future: "Future[T]", work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Groups(Generic[Item, Result]):
    """Has a thread work on what comes, a group at a time: while one is worked on, the next one gathers.

    So the way to the thread and back, and an fsync, are paid once for all that wait. When a group takes too long, all that waits fails,
    and what comes fails at once until the thread is back: nothing gathers behind a disk that hangs.
    """

    def __init__(self, thread: DiskThread, work: Callable[[Sequence[Item]], Sequence[Result]], most: int, seconds: float) -> None:
        """`work` is called in the thread, with at most so many, and returns as many; it has so many seconds."""
        self._thread = thread
        self._work = work
        self._most = most
        self._seconds = seconds
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None
        self._hangs = False

    async def add(self, item: Item) -> Result:
        """What the work returns for this item. Raises what it raises, and DiskHangs."""
        if self._hangs:
            raise DiskHangs
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._task is None:
            self._task = asyncio.create_task(self._work_on_all())
        return await result

    async def all_done(self) -> None:
        """Returns when nothing waits any more, or the disk hangs."""
        while self._task is not None and not self._hangs:
            await asyncio.wait([self._task], timeout=self._seconds)

    async def _work_on_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            running = self._thread.run(self._work, [item for item, _ in group])
            if not (await asyncio.wait([running], timeout=self._seconds))[0]:
                running.cancel()  # what has not begun behind something else that hangs is not to happen later
                self._hangs = True
                for _, result in [*group, *self._waiting]:
                    _settle(result, DiskHangs())
                self._waiting.clear()
                await self._thread.run(_nothing)
                self._hangs = False
                continue
            if (problem := running.exception()) is not None:
                for _, result in group:
                    _settle(result, problem)
                continue
            for (_, result), found in zip(group, running.result(), strict=True):
                if not result.done():  # its recipient may have gone
                    result.set_result(found)
        self._task = None


def _nothing() -> None: ...


def _settle(result: "asyncio.Future[Result]", problem: BaseException) -> None:
    if not result.done():
        result.set_exception(problem)
