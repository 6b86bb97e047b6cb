"""Clicks whose time cannot be: too old for good, or ahead of this server's clock, of which the log is told."""

import asyncio

import structlog

from server.model.errors import DomainError, Reason

log = structlog.get_logger()

COMPLAIN_SECONDS = 60.0
"""How often the log says so: a line for each click would fill a disk."""


class Clocks:
    """Refuses clicks for their time. For one event loop."""

    def __init__(self) -> None:
        self._complained = float("-inf")
        self._clicks = 0

    def refused(self, age: float) -> DomainError:
        """Why a click of this age, in seconds, is refused; negative: it is ahead, and may be taken later."""
        if age > 0:
            return DomainError(Reason.click_time_refused, f"the click's time is {age:,.0f} seconds ago")
        self._clicks += 1
        now = asyncio.get_running_loop().time()
        if now - self._complained >= COMPLAIN_SECONDS:
            log.error(
                "clicks_ahead", clicks=self._clicks, seconds=round(-age), remedy="one clock is wrong: this machine's or a front door's"
            )
            self._complained, self._clicks = now, 0
        return DomainError(Reason.click_time_ahead, f"the click's time is {-age:,.0f} seconds ahead of this server's clock")
