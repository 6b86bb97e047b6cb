"""ClickService over gRPC: message in, use case, message out."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from server.clickers import Clickers
from server.clicks.answer import Answered
from server.clicks.way import ClickDraft, ClickWay
from server.model.click import Click, Evidence
from server.model.errors import DomainError
from server.model.mailing import Recipient
from server.rpc import checks, wire
from server.rpc.calls import run
from server.rpc.errors import RETRYABLE
from server.rpc.lists import PageTokens
from trackedlinks.v1 import click_pb2, click_service_pb2, click_service_pb2_grpc, error_pb2, mailing_pb2

R = TypeVar("R", click_pb2.Click, click_pb2.Clicker)

MOST_CLICKS = 1000
MOST_UNCOMMITTED = 8
"""Requests of one stream that may be under way at once; more are not read, which is what slows a sender down."""


class ClickServicer(click_service_pb2_grpc.ClickServiceServicer):
    """Serves the way of a click and the questions about clicks."""

    def __init__(self, way: ClickWay, clickers: Clickers, tokens: PageTokens) -> None:
        self._way = way
        self._clickers = clickers
        self._tokens = tokens

    async def RecordClick(self, request: click_service_pb2.RecordClickRequest, context: Any) -> click_service_pb2.RecordClickResponse:
        (answer,) = await self._way.record([_draft(request)])
        if isinstance(answer, DomainError):
            raise answer
        recipients = await run(self._clickers.recipients, [answer.click.recipient])
        response = click_service_pb2.RecordClickResponse(click=_click(answer.click, recipients), duplicate=answer.duplicate)
        if answer.page is not None:
            response.page.CopyFrom(_page(answer))
        else:
            response.location = answer.location
        return response

    async def RecordClicks(
        self, request_iterator: AsyncIterator[click_service_pb2.RecordClicksRequest], context: Any
    ) -> AsyncIterator[click_service_pb2.RecordClicksResponse]:
        under_way: asyncio.Queue[asyncio.Task[click_service_pb2.RecordClicksResponse] | None] = asyncio.Queue(MOST_UNCOMMITTED)

        async def read() -> None:
            try:
                async for request in request_iterator:
                    checks.count("clicks", len(request.clicks), MOST_CLICKS)
                    await under_way.put(asyncio.create_task(self._batch(request)))
            finally:
                await under_way.put(None)

        reader = asyncio.create_task(read())
        try:
            while batch := await under_way.get():
                yield await batch
            await reader
        finally:
            reader.cancel()

    async def ListClickers(self, request: click_service_pb2.ListClickersRequest, context: Any) -> click_service_pb2.ListClickersResponse:
        checks.link_or_mailing(request.link_id, request.mailing_id)
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        page = await run(self._clickers.clickers, request.link_id, request.mailing_id, after, size)
        recipients = await run(self._clickers.recipients, [clicker.recipient for clicker in page.items])
        clickers = [_with_recipient(wire.to_message(clicker, click_pb2.Clicker), clicker.recipient, recipients) for clicker in page.items]
        return click_service_pb2.ListClickersResponse(clickers=clickers, next_page_token=self._tokens.token(request, page.next_key))

    async def ListClicks(self, request: click_service_pb2.ListClicksRequest, context: Any) -> click_service_pb2.ListClicksResponse:
        checks.link_or_mailing(request.link_id, request.mailing_id)
        verdict = checks.known_verdict(request.verdict)
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        page = await run(self._clickers.clicks, request.link_id, request.mailing_id, verdict, after, size)
        recipients = await run(self._clickers.recipients, [click.recipient for click in page.items])
        clicks = [_click(click, recipients) for click in page.items]
        return click_service_pb2.ListClicksResponse(clicks=clicks, next_page_token=self._tokens.token(request, page.next_key))

    async def _batch(self, request: click_service_pb2.RecordClicksRequest) -> click_service_pb2.RecordClicksResponse:
        answers = await self._way.record([_draft(click) for click in request.clicks])
        response = click_service_pb2.RecordClicksResponse()
        for click, answer in zip(request.clicks, answers, strict=True):
            sent = response.answers.add(click_id=click.click_id)
            if isinstance(answer, DomainError):
                reason = error_pb2.ErrorReason.Value(f"ERROR_REASON_{answer.reason.value}")
                sent.error.CopyFrom(
                    click_service_pb2.ClickError(reason=reason, message=answer.message, retryable=answer.reason in RETRYABLE)
                )
                continue
            response.committed.append(click.click_id)
            if answer.page is not None:
                sent.page.CopyFrom(_page(answer))
            else:
                sent.location = answer.location
        return response


def _draft(request: click_service_pb2.RecordClickRequest) -> ClickDraft:
    seen = request.evidence
    evidence = Evidence.model_construct(method=seen.method or "GET", prefetch=seen.prefetch, user_agent=seen.user_agent)
    return ClickDraft(request.click_id, request.token, evidence, request.replayed)


def _click(click: Click, recipients: Mapping[int, Recipient]) -> click_pb2.Click:
    return _with_recipient(wire.to_message(click, click_pb2.Click), click.recipient, recipients)


def _with_recipient(message: R, number: int, recipients: Mapping[int, Recipient]) -> R:
    """The message with who its recipient number means."""
    message.recipient.CopyFrom(wire.to_message(recipients[number], mailing_pb2.Recipient))
    return message


def _page(answer: Answered) -> click_service_pb2.Page:
    return wire.to_message(answer.page, click_service_pb2.Page)
