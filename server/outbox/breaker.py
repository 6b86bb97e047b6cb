"""A circuit breaker: after several failures in a row nobody tries for a while, then one does."""

FAILURES = 5
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0


class Breaker:
    """Whether it makes sense to try. Times are seconds of one clock that never goes back."""

    def __init__(self, failures: int = FAILURES, first_pause: float = FIRST_PAUSE, longest_pause: float = LONGEST_PAUSE) -> None:
        self._most_failures = failures
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._failures = 0
        self._pause = first_pause
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_closed(self) -> bool:
        """Whether everybody may try."""
        return self._open_until is None

    def may_probe(self, now: float) -> bool:
        """Whether, while it is not closed, one may try now."""
        return self._open_until is not None and now >= self._open_until and not self._probing

    def probe(self) -> None:
        """Says that one tries now; until it is known how that went nobody else does."""
        self._probing = True

    def succeeded(self) -> None:
        """Closes it."""
        self._failures, self._pause = 0, self._first_pause
        self._open_until, self._probing = None, False

    def failed(self, now: float) -> None:
        """Counts a failure; enough of them in a row, or one of a probe, open it, for longer each time."""
        self._failures += 1
        if self._probing or (self._open_until is None and self._failures >= self._most_failures):
            self._open_until = now + self._pause
            self._pause = min(2 * self._pause, self._longest_pause)
        self._probing = False

    def unknown(self) -> None:
        """Says that a probe has told nothing about the receiver: the next one tries again."""
        self._probing = False
