"""One stream of RecordClicks: batches in, answers out per click and in any order, with a bound on what is under way."""

import asyncio
from asyncio import Task
from collections.abc import AsyncIterator, Iterable, Sequence

import structlog

from server.clicks.answer import Answered
from server.clicks.way import ClickDraft, ClickWay, Settled
from server.model.click import SpecialLink
from server.model.errors import DomainError, Reason
from server.rpc import checks, wire
from server.rpc.errors import RETRYABLE
from server.store.database import without_data
from trackedlinks.v1 import click_service_pb2, error_pb2

log = structlog.get_logger()

MOST_CLICKS = 1000
MOST_UNCOMMITTED = 3
"""Requests of one stream that may be under way at once; more are not read, which is what slows a sender down. Front doors have two."""

MOST_IN_PIECE = 250_000
"""Bytes of one response, but for its last answer. With what `MOST_UNREAD` says it bounds what a slow reader makes the server keep."""

MOST_UNREAD = 2
"""Responses that are made before they are read. As long as so many wait, no further request is read either."""

Response = click_service_pb2.RecordClicksResponse


class ClickStream:
    """Reads one caller's batches and records them."""

    def __init__(self, way: ClickWay, requests: AsyncIterator[click_service_pb2.RecordClicksRequest]) -> None:
        self._way = way
        self._requests = requests
        self._slots = asyncio.Semaphore(MOST_UNCOMMITTED)
        self._responses: asyncio.Queue[Response | None] = asyncio.Queue(MOST_UNREAD)
        self._answering = asyncio.Lock()
        self._batches: set[asyncio.Task[None]] = set()

    async def responses(self) -> AsyncIterator[Response]:
        """What the batches are answered by, as it comes. Raises what ends the requests, once those before are answered."""
        reading = asyncio.create_task(self._read())
        ending = asyncio.create_task(self._end(reading))
        try:
            while response := await self._responses.get():
                yield response
            await reading
        finally:
            for task in (reading, ending, *self._batches):
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
        reading.cancelled() or reading.exception()  # seen, also where the caller goes before it is told
        while self._batches:
            await asyncio.wait(self._batches)
        await self._responses.put(None)

    async def _record(self, request: click_service_pb2.RecordClicksRequest) -> None:
        """Answers first what is at hand, which frees the sender's window; then, each when it comes, the clicks that wait for something."""
        ids = [click.click_id for click in request.clicks]
        later: dict[Task[Settled], str] = {}
        at_hand: list[tuple[str, Settled]] = []
        try:
            for click_id, result in zip(ids, await self._recorded(request), strict=True):
                if isinstance(result, Task):
                    later[result] = click_id
                else:
                    at_hand.append((click_id, result))
            await self._answer(at_hand, later.values())
        finally:
            self._slots.release()
        while later:
            done, _ = await asyncio.wait(later, return_when=asyncio.FIRST_COMPLETED)
            await self._answer([(later.pop(task), _result(task)) for task in done])

    async def _recorded(self, request: click_service_pb2.RecordClicksRequest) -> Sequence[Settled | Task[Settled]]:
        try:
            return await self._way.record([draft_of(click) for click in request.clicks])
        except Exception as error:  # a defect must not leave clicks unanswered, which would hold up their sender's window
            return [_defect(error)] * len(request.clicks)

    async def _answer(self, results: Sequence[tuple[str, Settled]], deferred: Iterable[str] = ()) -> None:
        """Hands out answers, one piece after the other: as long as one is not taken, none of the others is made."""
        durable = [click_id for click_id, result in results if isinstance(result, Answered)]
        response, size = Response(committed=durable, deferred=deferred), 0
        async with self._answering:
            for click_id, result in results:
                if size > MOST_IN_PIECE:
                    await self._responses.put(response)
                    response, size = Response(), 0
                size += _add(response, click_id, result)
            await self._responses.put(response)


def draft_of(request: click_service_pb2.RecordClickRequest) -> ClickDraft:
    """The click as it was sent."""
    seen = request.evidence
    return ClickDraft(request.click_id, request.token, seen.method, seen.prefetch, seen.user_agent, request.replayed)


def _add(response: Response, click_id: str, result: Settled) -> int:
    """Adds the answer of a click to the response; about how many bytes it has."""
    if isinstance(result, Answered) and (location := result.location):
        response.answers.add(click_id=click_id, location=location)
        return len(location) + 2 * len(click_id)
    answer = response.answers.add(click_id=click_id)
    match result:
        case DomainError():
            _refuse(answer, result)
        case SpecialLink():
            answer.special_link.CopyFrom(wire.to_message(result, click_service_pb2.SpecialLink))
        case Answered():
            try:
                answer.page.CopyFrom(wire.to_message(result.page(), click_service_pb2.Page))
            except Exception as error:  # a defect of this page must not take the answers of other clicks
                _refuse(answer, _defect(error))
    size: int = answer.ByteSize()
    return size


def _refuse(answer: click_service_pb2.ClickAnswer, error: DomainError) -> None:
    reason = error_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason.value}")
    answer.error.CopyFrom(click_service_pb2.ClickError(reason=reason, message=error.message, retryable=error.reason in RETRYABLE))


def _result(task: Task[Settled]) -> Settled:
    error = task.exception()
    return task.result() if error is None else _defect(error)


def _defect(error: BaseException) -> DomainError:
    log.error("defect", method="RecordClicks", exc_info=without_data(error))
    return DomainError(Reason.defect, "the server has a defect; its log says more")
