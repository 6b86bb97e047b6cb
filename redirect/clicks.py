"""The stream to ClickService: every click that waits goes with the next batch, two batches may be uncommitted, and there is no timer.

Measured: a window of one loses a tenth, three and four win nothing, a timer that lingers for more clicks costs 3×.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import grpc
import structlog

from redirect import token
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc

log = structlog.get_logger()

WINDOW = 2
MOST_IN_BATCH = 1000
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),  # a half-open connection is noticed, not waited for
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # answers come in pieces of 1 MB, and no page may break the stream for others
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class ClickUnanswered(Exception):
    """The click was not stored in time: the server is away or has too much to do."""


@dataclass(slots=True)
class _Batch:
    """A request on its way, and how many of its clicks are neither committed nor refused nor deferred yet."""

    open: int


@dataclass(slots=True)
class _Waiting:
    request: click_service_pb2.RecordClickRequest
    answer: "asyncio.Future[click_service_pb2.ClickAnswer]"


class OtherKeys(Exception):
    """The server verifies with other keys than this front door: one of the two would refuse every URL of the other."""


class ClickStream:
    """Gives clicks to the server at `address`, which must mint with one of the `keys`, and waits so many seconds for each answer."""

    def __init__(self, address: str, answer_seconds: float, keys: token.Keys) -> None:
        self._address = address
        self._keys = keys
        self._answer_seconds = answer_seconds
        self._clicks: dict[str, _Waiting] = {}
        self._unsent: deque[str] = deque()
        self._under_way: dict[str, _Batch] = {}
        self._slots = WINDOW
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    async def record(self, request: click_service_pb2.RecordClickRequest) -> click_service_pb2.ClickAnswer:
        """What the click is answered by, once it is durable. Raises ClickUnanswered; the click may have been counted all the same."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._clicks[request.click_id] = waiting
        self._unsent.append(request.click_id)
        self._wake.set()
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await waiting.answer
        except TimeoutError:
            raise ClickUnanswered from None
        finally:
            del self._clicks[request.click_id]

    def start(self) -> None:
        """Opens the stream, and opens it again whenever it breaks. Needs a running event loop."""
        self._task = asyncio.create_task(self._keep_open())

    async def stop(self) -> None:
        """Closes the stream once nothing waits for an answer any more."""
        for waiting in list(self._clicks.values()):
            await asyncio.wait([waiting.answer], timeout=self._answer_seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_open(self) -> None:
        pause = FIRST_PAUSE
        async with grpc.aio.insecure_channel(self._address, options=OPTIONS) as channel:
            while True:
                try:
                    await self._converse(click_service_pb2_grpc.ClickServiceStub(channel))
                except grpc.RpcError as error:
                    code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                    log.warning("click_stream_broken", code=code, waiting=len(self._clicks))
                except OtherKeys:
                    log.error("other_keys", server=self._address, remedy="give the front door the server's key file and start it again")
                except Exception as error:  # a defect must not end the stream for good: every click would be turned away
                    log.error("click_stream_failed", exc_info=error)
                pause = FIRST_PAUSE if self.connected else min(2 * pause, LONGEST_PAUSE)
                self._take_back()
                await asyncio.sleep(pause)

    async def _converse(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub") -> None:
        call = stub.RecordClicks()
        summary = {str(key): value for key, value in await call.initial_metadata()}.get(token.KEYS_METADATA)
        if not isinstance(summary, str) or not self._keys.agrees_with(summary):
            call.cancel()
            raise OtherKeys
        self.connected = True
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
            if not (self._unsent and self._slots):
                await self._wake.wait()
                continue
            batch, requests = _Batch(0), []
            while self._unsent and batch.open < MOST_IN_BATCH:
                waiting = self._clicks.get(self._unsent.popleft())
                if waiting is not None:  # else nobody waits for it any more
                    self._under_way[waiting.request.click_id] = batch
                    batch.open += 1
                    requests.append(waiting.request)
            if requests:
                self._slots -= 1
                await call.write(click_service_pb2.RecordClicksRequest(clicks=requests))

    def _receive(self, response: click_service_pb2.RecordClicksResponse) -> None:
        for click_id in (*response.committed, *response.deferred):
            self._settle(click_id)
        for answer in response.answers:
            if answer.WhichOneof("result") in ("error", "special_link"):  # nothing is stored, so they are never committed
                self._settle(answer.click_id)
            waiting = self._clicks.get(answer.click_id)
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _settle(self, click_id: str) -> None:
        """Frees the batch's slot with its last click, also of clicks that nobody waits for any more."""
        batch = self._under_way.pop(click_id, None)
        if batch is None:
            return
        batch.open -= 1
        if batch.open == 0:
            self._slots += 1
            self._wake.set()

    def _take_back(self) -> None:
        """Has everything that is not answered sent again: the same click id is the same click, so nothing is counted twice."""
        self.connected = False
        self._slots = WINDOW
        self._under_way.clear()
        self._unsent = deque(click_id for click_id, waiting in self._clicks.items() if not waiting.answer.done())
        self._wake.set()
