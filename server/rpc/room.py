"""Room for answers: bytes that those who call have together, a share for each peer, and a line of those who wait for some."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from server.rpc.bounds import Room


@dataclass(eq=False, slots=True)
class _Waiting:
    peer: str
    size: int
    admitted: "asyncio.Future[None]"


class Taken:
    """How much of a room is taken, and by whom."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.taken = self.peak = 0
        """Bytes, now and at most since `peak` was last set."""
        self._by: Counter[str] = Counter()
        self._line: deque[_Waiting] = deque()

    def by(self, peer: str) -> int:
        """What a peer has of it."""
        return self._by[peer]

    def fits(self, peer: str, size: int) -> bool:
        """Whether so much is left, of the whole and of the peer's share."""
        return self.taken + size <= self._room.most and self._by[peer] + size <= self._room.share

    def take(self, peer: str, size: int) -> None:
        """Takes so much, also more than there is: what is made already is not thrown away. A negative size gives back."""
        self.taken += size
        self.peak = max(self.peak, self.taken)
        self._by[peer] += size
        if not self._by[peer]:
            del self._by[peer]
        if size < 0:
            self._admit()

    async def wait(self, peer: str, size: int, seconds: float) -> bool:
        """Takes so much as soon as it is there, in the order of those who wait; whether it was within so many seconds."""
        if self.fits(peer, size):
            self.take(peer, size)
            return True
        waiting = _Waiting(peer, size, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        try:
            await asyncio.wait([waiting.admitted], timeout=seconds)
        except asyncio.CancelledError:
            if waiting.admitted.done():
                self.take(peer, -size)
            raise
        finally:
            if not waiting.admitted.done():
                self._line.remove(waiting)
        return waiting.admitted.done()

    def _admit(self) -> None:
        """Admits those for whom there is room now; who waits for the own share holds up nobody else."""
        for waiting in [*self._line]:
            if self.fits(waiting.peer, waiting.size):
                self._line.remove(waiting)
                self.take(waiting.peer, waiting.size)
                waiting.admitted.set_result(None)
