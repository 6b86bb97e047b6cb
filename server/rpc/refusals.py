"""Tells the log of what is refused: at once, and then how often within some seconds, never line by line."""

import asyncio
from collections import Counter

import structlog

log = structlog.get_logger()

SECONDS = 10.0


class Refusals:
    """Counts what is refused or ended, by event and kind of call."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._quiet: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def note(self, event: str, kind: str) -> None:
        """Notes one. Needs a running event loop."""
        self._counts[event, kind] += 1
        if (event, kind) not in self._quiet:
            self._tell(event, kind)

    def end(self) -> None:
        """Tells what has not been told yet, and nothing after that."""
        for (event, kind), timer in [*self._quiet.items()]:
            timer.cancel()
            self._tell(event, kind)
        for timer in self._quiet.values():
            timer.cancel()

    def _tell(self, event: str, kind: str) -> None:
        self._quiet.pop((event, kind), None)
        if count := self._counts.pop((event, kind), 0):
            log.warning(event, kind=kind, count=count)
            self._quiet[event, kind] = asyncio.get_running_loop().call_later(SECONDS, self._tell, event, kind)
