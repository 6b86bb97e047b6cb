"""How long the server holds the event loop, which carries clicks: in calls of functions, which are the same on every machine."""

import contextlib
import sys
from asyncio import Handle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import server

_CODE = str(Path(next(iter(server.__path__))))


class LoopWork:
    """The most that one callback of the loop did: calls that the server's code made, by the function they were made in."""

    def __init__(self) -> None:
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """What `sys.setprofile` is told of each call."""
        if event not in ("call", "c_call"):
            return
        if frame.f_code is Handle._run.__code__ and event == "call":
            self._now = Counter()
        elif frame.f_code.co_filename.startswith(_CODE):
            self._now[f"{Path(frame.f_code.co_filename).name} {frame.f_code.co_name}"] += 1
            if self._now.total() > self.most.total():
                self.most = self._now


@contextlib.contextmanager
def counted() -> Iterator[LoopWork]:
    """Counts in this thread, which must be that of the event loop, until the block ends."""
    work = LoopWork()
    before = sys.getprofile()
    sys.setprofile(work.note)
    try:
        yield work
    finally:
        sys.setprofile(before)
