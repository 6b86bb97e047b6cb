"""Removes what resets leave and what is kept no longer, a slice at a time: between two slices the writer takes the clicks that wait."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from server.model.errors import DomainError
from server.repeating import Repeating
from server.store.kept import KeptStore
from server.store.resets import ResetStore

log = structlog.get_logger()

LOOK_SECONDS = 5.0


class Sweeping:
    """Sweeps while the server runs: at start, and every few seconds."""

    def __init__(self, resets: ResetStore, kept: KeptStore, clock: Callable[[], datetime]) -> None:
        self._resets = resets
        self._kept = kept
        self._clock = clock
        self._repeating = Repeating(self._sweep, LOOK_SECONDS)

    def start(self) -> None:
        """Begins to sweep. Needs a running event loop."""
        self._repeating.start()

    async def stop(self) -> None:
        """Ends after the slice under way; the rest is found at the next start."""
        await self._repeating.stop()

    async def _sweep(self) -> None:
        try:
            for sweep in (self._resets.sweep, lambda: self._kept.purge(self._clock())):
                while not self._repeating.stopping and await asyncio.to_thread(sweep):
                    pass
        except DomainError as error:
            log.warning("sweep_postponed", reason=error.reason.value)
        except Exception as error:  # a defect here must not keep who clicked for ever: it is tried again
            log.error("sweep_failed", exc_info=error)
