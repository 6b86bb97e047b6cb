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
        self._quiet: set[tuple[str, str]] = set()

    def note(self, event: str, kind: str) -> None:
        """Notes one. Needs a running event loop."""
        self._counts[event, kind] += 1
        if (event, kind) not in self._quiet:
            self._tell(event, kind)

    def _tell(self, event: str, kind: str) -> None:
        self._quiet.discard((event, kind))
        if count := self._counts.pop((event, kind), 0):
            log.warning(event, kind=kind, count=count)
            self._quiet.add((event, kind))
            asyncio.get_running_loop().call_later(SECONDS, self._tell, event, kind)
