"""The clicks whose recipients wait for the server, each for so long; and whether it makes sense to wait for it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from redirect.complaint import Complaint
from trackedlinks.v1 import click_service_pb2, error_pb2

log = structlog.get_logger()

MOST_MISSES = 5
"""Clicks in a row that are not stored in time before no more is offered, until a batch of the journal shows that the server is well."""

PROBE_SECONDS = 2.0
"""After so long without a batch of the journal, one click is offered to see how the server is."""

DEFERRED_SECONDS = 2.0
"""How long a click may take whose script or remote CRM the server waits for."""

LATE_SECONDS = 3.0
"""How much longer who clicks where only the server knows what there is waits for it, rather than read that it is to be tried again."""

AHEAD = error_pb2.ERROR_REASON_CLICK_TIME_AHEAD

Request = click_service_pb2.RecordClickRequest
Answer = click_service_pb2.ClickAnswer


class Breaker:
    """Knows whether the server stores clicks in time."""

    def __init__(self) -> None:
        self._misses = 0
        self._next_probe = 0.0

    def lets_pass(self, now: float, probing: bool) -> bool:
        """Whether a click is to be offered to the server. `probing`: a batch of the journal is under way, which will show how it is."""
        if self._misses < MOST_MISSES:
            return True
        if probing or now < self._next_probe:
            return False
        self._next_probe = now + PROBE_SECONDS
        return True

    def probed(self, now: float) -> None:
        """A batch of the journal has shown that the server is not well, if it did not say `well`."""
        self._next_probe = now + PROBE_SECONDS

    def missed(self, now: float) -> bool:
        """Counts a click that was not stored in time; whether from now on nobody waits for the server."""
        self._misses += 1
        self._next_probe = now + PROBE_SECONDS
        return self._misses == MOST_MISSES

    def well(self) -> None:
        """Something was stored in time."""
        self._misses = 0


@dataclass(slots=True)
class _Waiting:
    request: Request
    answer: "asyncio.Future[Answer | None]"
    due: float
    deferred: bool = False


class WaitingClicks:
    """Needs a running event loop. No timer for each click: the oldest is due first."""

    def __init__(self, seconds: float, breaker: Breaker) -> None:
        """`seconds` is how long a recipient waits for a click to be stored."""
        self._seconds = seconds
        self._breaker = breaker
        self._clicks: dict[str, _Waiting] = {}
        self._unsent: deque[_Waiting] = deque()
        self._due: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._clocks = Complaint(
            "clock_ahead", "one clock is wrong: this machine's or the server's; the journal keeps the clicks meanwhile"
        )

    def __len__(self) -> int:
        return len(self._clicks)

    @property
    def unsent_count(self) -> int:
        """How many have still to be sent, with those who have been given up meanwhile."""
        return len(self._unsent)

    async def answer(self, request: Request) -> Answer | None:
        """What the server answers the click by; None when it does not in time."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future(), loop.time() + self._seconds)
        self._clicks[request.click_id] = waiting
        self._unsent.append(waiting)
        self._due.append(waiting)
        if self._timer is None:
            self._timer = loop.call_at(waiting.due, self._look_at_due)
        try:
            return await waiting.answer
        finally:
            del self._clicks[request.click_id]

    async def late_answer(self, request: Request, *, sent: bool) -> Answer | None:
        """What the server answers by a click that it has not stored in time, when it does so late. `sent`: it has it, and has not said."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future(), loop.time() + LATE_SECONDS, deferred=True)
        self._clicks[request.click_id] = waiting
        while self._unsent and self._unsent[0].answer.done():  # a server that hangs takes none, and the breaker does not stop these
            self._unsent.popleft()
        if not sent:
            self._unsent.append(waiting)
        timer = loop.call_at(waiting.due, self._missed, waiting)
        try:
            return await waiting.answer
        finally:
            timer.cancel()
            del self._clicks[request.click_id]

    def unsent(self, most: int) -> Sequence[Request]:
        """The clicks that have still to be sent, at most so many, oldest first; they are not given again."""
        requests: list[Request] = []
        while self._unsent and len(requests) < most:
            waiting = self._unsent.popleft()
            if not waiting.answer.done():
                requests.append(waiting.request)
        return requests

    def answered(self, answer: Answer, kind: str | None) -> None:
        """The server's answer, of this kind, to a click, if anybody waits for it."""
        waiting = self._clicks.get(answer.click_id)
        if waiting is None or waiting.answer.done():
            return
        if kind != "error" or answer.error.reason == error_pb2.ERROR_REASON_TOKEN_INVALID:
            self._breaker.well()
            waiting.answer.set_result(answer)
        elif answer.error.reason == AHEAD:  # the server is well and quick, but for one of the two clocks
            self._clocks.tell(message=answer.error.message)
            waiting.answer.set_result(None)
        elif answer.error.retryable:
            self._missed(waiting)
        else:  # a clock that is far behind, or a defect: the recipient is not to blame
            log.error("click_refused", reason=error_pb2.ErrorReason.Name(answer.error.reason), message=answer.error.message)
            waiting.answer.set_result(None)

    def deferred(self, click_id: str) -> None:
        """The server waits for something before it stores the click: its recipient waits longer."""
        waiting = self._clicks.get(click_id)
        if waiting is not None and not waiting.answer.done():
            waiting.deferred = True
            asyncio.get_running_loop().call_later(DEFERRED_SECONDS, self._missed, waiting)

    def give_up(self) -> None:
        """Nobody waits any longer: the connection has ended."""
        self._unsent.clear()
        for waiting in self._clicks.values():
            if not waiting.answer.done():
                waiting.answer.set_result(None)

    async def all_answered(self) -> None:
        """Returns when none of those is left who wait now."""
        for waiting in list(self._clicks.values()):
            await asyncio.wait([waiting.answer])

    def _look_at_due(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due and (self._due[0].answer.done() or self._due[0].due <= loop.time()):
            waiting = self._due.popleft()
            if not waiting.deferred:
                self._missed(waiting)
        self._timer = loop.call_at(self._due[0].due, self._look_at_due) if self._due else None

    def _missed(self, waiting: _Waiting) -> None:
        if waiting.answer.done():
            return
        waiting.answer.set_result(None)
        if self._breaker.missed(asyncio.get_running_loop().time()):
            log.warning("server_too_slow", waiting=len(self._clicks))
            for other in self._clicks.values():
                if not other.deferred and not other.answer.done():
                    other.answer.set_result(None)
