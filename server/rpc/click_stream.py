"""One stream of RecordClicks: batches in, answers out per click and in any order, with a bound on what is under way."""

import asyncio
import contextlib
from asyncio import Task
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from server.clicks.answer import Answered
from server.clicks.way import ClickDraft, ClickWay, Settled
from server.model.click import SpecialLink
from server.model.errors import DomainError, Reason
from server.rpc import checks, wire
from server.rpc.errors import RETRYABLE
from server.rpc.recipients import in_pieces
from server.store.database import without_data
from trackedlinks.v1 import click_service_pb2, error_pb2

log = structlog.get_logger()

MOST_CLICKS = 1000
MOST_UNCOMMITTED = 8
"""Requests of one stream that may be under way at once; more are not read, which is what slows a sender down."""

Response = click_service_pb2.RecordClicksResponse
Draft = Callable[[click_service_pb2.RecordClickRequest], ClickDraft]


class ClickStream:
    """Reads one caller's batches and records them."""

    def __init__(self, way: ClickWay, requests: AsyncIterator[click_service_pb2.RecordClicksRequest], draft: Draft) -> None:
        self._way = way
        self._requests = requests
        self._draft = draft
        self._slots = asyncio.Semaphore(MOST_UNCOMMITTED)
        self._responses: asyncio.Queue[Response | None] = asyncio.Queue(MOST_UNCOMMITTED)
        self._batches: set[asyncio.Task[None]] = set()

    async def responses(self, drain: asyncio.Event) -> AsyncIterator[Response]:
        """What the batches are answered by, as it comes. Once `drain` is set nothing more is read; what was read is answered."""
        reading = asyncio.create_task(self._read())
        draining = asyncio.create_task(drain.wait())
        draining.add_done_callback(lambda _: reading.cancel())
        ending = asyncio.create_task(self._end(reading))
        try:
            while response := await self._responses.get():
                yield response
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        finally:
            for task in (reading, draining, ending, *self._batches):
                task.cancel()

    async def _read(self) -> None:
        async for request in self._requests:
            checks.at_most("clicks", len(request.clicks), MOST_CLICKS)
            await self._slots.acquire()
            batch = asyncio.create_task(self._record(request))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _end(self, reading: "asyncio.Task[None]") -> None:
        await asyncio.wait([reading])
        while self._batches:
            await asyncio.wait(self._batches)
        await self._responses.put(None)

    async def _record(self, request: click_service_pb2.RecordClicksRequest) -> None:
        """Answers first what is at hand, which frees the sender's window; then, each when it comes, the clicks that wait for something."""
        ids = [click.click_id for click in request.clicks]
        try:
            results = await self._way.record([self._draft(click) for click in request.clicks])
            clicks = list(zip(ids, results, strict=True))
            at_hand = [(click_id, result) for click_id, result in clicks if not isinstance(result, asyncio.Task)]
            later = {result: click_id for click_id, result in clicks if isinstance(result, asyncio.Task)}
            await self._answer(at_hand, list(later.values()))
        except Exception as error:  # a defect must not leave clicks unanswered, which would hold up their sender's window
            await self._answer([(click_id, _defect(error)) for click_id in ids], [])
            return
        finally:
            self._slots.release()
        while later:
            done, _ = await asyncio.wait(later, return_when=asyncio.FIRST_COMPLETED)
            await self._answer([(later.pop(task), _result(task)) for task in done], [])

    async def _answer(self, results: Sequence[tuple[str, Settled]], deferred: Sequence[str]) -> None:
        durable = [click_id for click_id, result in results if isinstance(result, Answered)]
        pieces = [Response(answers=some) for _, some in in_pieces([_answer(click_id, result) for click_id, result in results])]
        pieces[0].committed.extend(durable)
        pieces[0].deferred.extend(deferred)
        for piece in pieces:
            await self._responses.put(piece)


def _result(task: Task[Settled]) -> Settled:
    error = task.exception()
    return task.result() if error is None else _defect(error)


def _defect(error: BaseException) -> DomainError:
    log.error("defect", method="RecordClicks", exc_info=without_data(error))
    return DomainError(Reason.defect, "the server has a defect; its log says more")


def _answer(click_id: str, result: Settled) -> click_service_pb2.ClickAnswer:
    match result:
        case DomainError():
            reason = error_pb2.ErrorReason.Value(f"ERROR_REASON_{result.reason.value}")
            error = click_service_pb2.ClickError(reason=reason, message=result.message, retryable=result.reason in RETRYABLE)
            return click_service_pb2.ClickAnswer(click_id=click_id, error=error)
        case SpecialLink():
            return click_service_pb2.ClickAnswer(click_id=click_id, special_link=wire.to_message(result, click_service_pb2.SpecialLink))
        case Answered(page=None):
            return click_service_pb2.ClickAnswer(click_id=click_id, location=result.location)
        case Answered():
            return click_service_pb2.ClickAnswer(click_id=click_id, page=page_message(result))


def page_message(answer: Answered) -> click_service_pb2.Page:
    """The page of an answer as it goes over the wire."""
    return wire.to_message(answer.page, click_service_pb2.Page)
