"""How calls end when the server stops: streams after the request in hand, and what is not done in time with UNAVAILABLE."""

import asyncio
import contextlib
from collections.abc import Iterator

from server.model.errors import DomainError, Reason


class Stopping:
    """Knows the calls under way, and ends them when the server stops."""

    def __init__(self) -> None:
        self.begun = False
        """No further request of a stream is read."""
        self.over = False
        """Whatever is still under way is given up."""
        self._working: set[asyncio.Task[object]] = set()
        self._idle: set[asyncio.Task[object]] = set()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """A call is under way in this task for as long as the block. Raises SERVER_STOPPING when it is given up."""
        with self._noted(self._working):
            yield

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """This task waits for a request of a stream, or has nothing else to answer. Raises SERVER_STOPPING as soon as the server stops."""
        if self.begun:
            raise stopping()
        with self._noted(self._idle):
            yield

    def begin(self) -> None:
        """Ends every stream that waits for a request, at once, and the others when they next do."""
        self.begun = True
        for task in self._idle:
            task.cancel()

    def give_up(self) -> None:
        """Ends every call. What it has begun may be done or not."""
        self.over = True
        for task in self._working:
            task.cancel()

    @contextlib.contextmanager
    def _noted(self, tasks: set[asyncio.Task[object]]) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self.over or (self.begun and tasks is self._idle):
                task.uncancel()
                raise stopping() from None
            raise  # its caller has gone
        finally:
            tasks.discard(task)


def stopping() -> DomainError:
    """Why a call has ended that would have gone on."""
    return DomainError(Reason.server_stopping, "the server is stopping; call it again in a moment, or another one")
