"""What the log is told of once a minute: a line for each click would fill a disk."""

import asyncio

import structlog

log = structlog.get_logger()

SECONDS = 60.0


class Complaint:
    """Something that is wrong with many clicks, and what an operator can do about it."""

    def __init__(self, event: str, remedy: str) -> None:
        self._event = event
        self._remedy = remedy
        self._told = float("-inf")
        self._clicks = 0

    def tell(self, **facts: object) -> None:
        """Counts a click, and tells of all since it was told last, once a minute. Needs a running event loop."""
        self._clicks += 1
        now = asyncio.get_running_loop().time()
        if now - self._told >= SECONDS:
            log.error(self._event, clicks=self._clicks, **facts, remedy=self._remedy)
            self._told, self._clicks = now, 0
