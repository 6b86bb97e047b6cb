"""The stream to ClickService: every click that waits goes with the next batch, two batches may be uncommitted, and there is no timer.

Measured: a window of one or three, or a second batch of whatever waits, loses a tenth; a timer that lingers for more clicks costs 3×.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import structlog

from redirect import token
from redirect.connection import NoAnswer, OtherKeys, connect, refuse_other_keys
from redirect.replay import Disconnected
from redirect.waiting import AHEAD, Answer, Breaker, Request, WaitingClicks
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc

log = structlog.get_logger()

WINDOW = 2
MOST_IN_BATCH = 1000
"""What the server takes at once; with user agents of 3 KiB each below the 4 MiB of its messages."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.25

Error = click_service_pb2.ClickError


@dataclass(slots=True)
class _Batch:
    """A request on its way, and how many of its clicks are neither committed nor refused nor deferred yet."""

    open: int


@dataclass(slots=True)
class _Replayed:
    """A batch of the journal: what of it has still to be sent, what is neither stored nor refused, and what the server refuses."""

    unsent: Sequence[Request]
    open: set[str]
    since: float
    done: "asyncio.Future[dict[str, Error]]"
    refused: dict[str, Error] = field(default_factory=dict)


class ClickStream:
    """Gives clicks to the server at `address`, which must mint with one of the `keys`, and waits `commit_seconds` for each."""

    def __init__(self, address: str, commit_seconds: float, keys: token.Keys) -> None:
        self._address = address
        self._commit_seconds = commit_seconds
        self._keys = keys
        self._breaker = Breaker()
        self._waiting = WaitingClicks(commit_seconds, self._breaker)
        self._replayed: _Replayed | None = None
        self._under_way: dict[str, _Batch] = {}
        self._replayed_under_way: dict[str, _Batch] = {}
        self._slots = WINDOW
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        self._other_keys = False
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the server takes clicks."""
        return self._opened.is_set()

    @property
    def has_other_keys(self) -> bool:
        """Whether the server was there when last tried, and has other keys: one of the two would refuse every URL of the other."""
        return self._other_keys

    async def record(self, request: Request) -> Answer | None:
        """What the click is answered by, once it is durable. None when it is not in time; the server may have it all the same, or later."""
        now, probing = asyncio.get_running_loop().time(), self._replayed is not None
        if not (self.connected and self._breaker.lets_pass(now, probing)):
            return None
        self._wake.set()
        return await self._waiting.answer(request)

    async def record_late(self, request: Request) -> Answer | None:
        """What a click is answered by that was not stored in time, if the server is there and comes to it after all; else None."""
        if not self.connected:
            return None
        self._wake.set()
        return await self._waiting.late_answer(request, sent=request.click_id in self._under_way)

    async def connection(self) -> None:
        """Returns when there is a connection."""
        await self._opened.wait()

    async def replay(self, clicks: Sequence[Request]) -> dict[str, Error]:
        """Has the server store clicks of the journal, each once, one batch at a time; those that it refuses, by id. Raises Disconnected."""
        assert self._replayed is None, "one batch at a time"
        if not self.connected:
            raise Disconnected
        loop = asyncio.get_running_loop()
        self._replayed = _Replayed(clicks, {click.click_id for click in clicks}, loop.time(), loop.create_future())
        self._wake.set()
        try:
            return await self._replayed.done
        finally:
            self._replayed = None
            self._breaker.probed(loop.time())

    def start(self) -> None:
        """Opens the stream, and opens it again whenever it breaks. Needs a running event loop."""
        self._task = asyncio.create_task(self._keep_open())

    async def stop(self) -> None:
        """Closes the stream once nobody waits for an answer any more."""
        await self._waiting.all_answered()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_open(self) -> None:
        pause = FIRST_PAUSE
        async with connect(self._address) as channel:
            while True:
                try:
                    await self._converse(click_service_pb2_grpc.ClickServiceStub(channel))
                except (grpc.RpcError, NoAnswer) as error:
                    if self.connected:
                        code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                        log.warning("click_stream_broken", code=code, waiting=len(self._waiting))
                except OtherKeys:
                    self._other_keys = True
                    log.error("other_keys", server=self._address, remedy="give the front door the server's key file and start it again")
                except Exception as error:  # a defect must not end the stream for good: every click would go to the journal
                    log.error("click_stream_failed", exc_info=error)
                pause = FIRST_PAUSE if self.connected else min(2 * pause, LONGEST_PAUSE)
                self._give_up()
                await asyncio.sleep(pause)

    async def _converse(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub") -> None:
        call = stub.RecordClicks(wait_for_ready=True)  # begins as soon as there is a connection
        await refuse_other_keys(call, self._keys)
        self._other_keys = False
        self._opened.set()
        sender = asyncio.create_task(self._send(call))
        try:
            async for response in call:
                self._receive(response)
        finally:
            sender.cancel()
            call.cancel()

    async def _send(
        self, call: "grpc.aio.StreamStreamCall[click_service_pb2.RecordClicksRequest, click_service_pb2.RecordClicksResponse]"
    ) -> None:
        while True:
            self._wake.clear()
            if not (self._makes_sense_to_send() and (requests := self._next_requests())):
                await self._wake.wait()
                continue
            self._slots -= 1
            batch = _Batch(len(requests))
            under_way = self._replayed_under_way if requests[0].replayed else self._under_way
            for request in requests:
                under_way[request.click_id] = batch
            await call.write(click_service_pb2.RecordClicksRequest(clicks=requests))

    def _makes_sense_to_send(self) -> bool:
        """With one batch uncommitted, the next one goes when it has half as many clicks: a small one costs as much (measured)."""
        enough = 2 * self._waiting.unsent_count >= len(self._under_way)
        return self._slots > 0 and (self._slots == WINDOW or self._replayed is not None or enough)

    def _next_requests(self) -> Sequence[Request]:
        """All that wait; when nobody does, a batch of the journal. It is one at a time, so that it has one of the two slots at most."""
        requests = self._waiting.unsent(MOST_IN_BATCH)
        if not requests and self._replayed is not None:
            requests, self._replayed.unsent = self._replayed.unsent, ()
        return requests

    def _receive(self, response: click_service_pb2.RecordClicksResponse) -> None:
        for click_id in response.committed:
            self._settle(click_id)
            self._note(click_id, None)
        for click_id in response.deferred:
            self._settle(click_id)
            self._waiting.deferred(click_id)
        for answer in response.answers:
            kind = answer.WhichOneof("result")
            if kind in ("error", "special_link"):  # nothing is stored, so they are never committed
                self._settle(answer.click_id)
                self._note(answer.click_id, answer.error if kind == "error" else None)
            self._waiting.answered(answer, kind)

    def _settle(self, click_id: str) -> None:
        """Frees the batch's slot with its last click, also of clicks that nobody waits for any more.

        A click may be under way twice: it was not stored in time, and came again from the journal.
        """
        batch = self._under_way.pop(click_id, None) or self._replayed_under_way.pop(click_id, None)
        if batch is None:
            return
        batch.open -= 1
        if batch.open == 0:
            self._slots += 1
            self._wake.set()

    def _note(self, click_id: str, error: Error | None) -> None:
        """Notes what has become of a click, if it is one of the journal's batch under way."""
        batch = self._replayed
        if batch is None or click_id not in batch.open:
            return
        batch.open.discard(click_id)
        if error is not None:
            batch.refused[click_id] = error
        if batch.open or batch.done.done():
            return
        in_time = asyncio.get_running_loop().time() - batch.since < self._commit_seconds
        if in_time and not any(refusal.retryable and refusal.reason != AHEAD for refusal in batch.refused.values()):
            self._breaker.well()
        batch.done.set_result(batch.refused)

    def _give_up(self) -> None:
        """What was sent may be stored or not; whoever waits for it does so no longer."""
        self._opened.clear()
        self._slots = WINDOW
        self._under_way.clear()
        self._replayed_under_way.clear()
        self._breaker.well()
        self._waiting.give_up()
        if self._replayed is not None and not self._replayed.done.done():
            self._replayed.done.set_exception(Disconnected())
