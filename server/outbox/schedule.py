"""When what failed is tried again: from seconds to a day, over about three days, then never. Source: Standard Webhooks, Deliverability."""

from collections.abc import Sequence
from datetime import datetime, timedelta

SECONDS = (5, 30, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""The pause after each attempt; after the last one there is none."""

JITTER = 0.2
"""By how much of itself a pause is longer or shorter, so that what failed together does not come back together."""


class Schedule:
    """The pauses between attempts."""

    def __init__(self, seconds: Sequence[float] = SECONDS) -> None:
        self._seconds = tuple(seconds)

    @property
    def patience(self) -> timedelta:
        """How long a receiver may be away before what waits for it is given up on: what all attempts take together."""
        return timedelta(seconds=sum(self._seconds) * (1 + JITTER))

    def next_time(self, step: int, now: datetime, chance: float, retry_after: float = 0) -> datetime | None:
        """When the attempt after this failed one is due, or None when it was the last. `chance` is from 0 to 1.

        `retry_after` is what the receiver asked for, in seconds: it is not tried before.
        """
        if step >= len(self._seconds):
            return None
        pause = self._seconds[step] * (1 + JITTER * (2 * chance - 1))
        return now + timedelta(seconds=max(pause, retry_after))
