"""MailingService over gRPC: message in, use case, message out."""

from collections.abc import AsyncIterator
from typing import Any

from server.mailings import Mailings
from server.model.mailing import Mailing
from server.rendering import Rendering
from server.rpc import checks, messages, wire
from server.rpc.calls import request_of, run, user_of
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens, key_by, order_of
from server.rpc.recipients import at_most, same_subject
from server.tracking import Tracking
from server.urls import Minting
from trackedlinks.v1 import mailing_pb2, mailing_service_pb2, mailing_service_pb2_grpc

WRITABLE = (
    "name",
    "language",
    "send_time",
    "public_url",
    "track_all_links",
    "google_analytics",
    "mailing_type_id",
    "test",
    "delivered_count",
)
ORDERS = ("create_time", "name", "update_time")


class MailingServicer(mailing_service_pb2_grpc.MailingServiceServicer):
    """Serves the use cases of mailings."""

    def __init__(self, mailings: Mailings, tracking: Tracking, rendering: Rendering, minting: Minting, tokens: PageTokens) -> None:
        self._mailings = mailings
        self._tracking = tracking
        self._rendering = rendering
        self._minting = minting
        self._tokens = tokens

    def CreateMailing(self, request: mailing_service_pb2.CreateMailingRequest, context: Any) -> mailing_pb2.Mailing:
        with checks.AllAtOnce() as each:
            draft = each(wire.to_model, request.mailing, Mailing, "mailing")
            user = each(user_of, context)
            asked = each(request_of, request)
        return messages.mailing(self._mailings.create(draft, user, asked))

    def GetMailing(self, request: mailing_service_pb2.GetMailingRequest, context: Any) -> mailing_pb2.Mailing:
        checks.positive(id=request.id)
        return messages.mailing(self._mailings.get(request.id))

    def ListMailings(self, request: mailing_service_pb2.ListMailingsRequest, context: Any) -> mailing_service_pb2.ListMailingsResponse:
        with checks.AllAtOnce() as each:
            size = each(self._tokens.page_size, request)
            order = each(order_of, request.order_by, ORDERS, "create_time desc")
            each(checks.query, request.query)
            creator = each(_creator, request, context)
        after = self._tokens.after(request)
        page = self._mailings.page(creator, request.query, *order, after, size)
        mailings, next_key = fitting(page, messages.mailing, key_by(order[0]))
        return mailing_service_pb2.ListMailingsResponse(mailings=mailings, next_page_token=self._tokens.token(request, next_key))

    def UpdateMailing(self, request: mailing_service_pb2.UpdateMailingRequest, context: Any) -> mailing_pb2.Mailing:
        with checks.AllAtOnce() as each:
            each(checks.positive, **{"mailing.id": request.mailing.id})
            patch = each(wire.patch, request.mailing, request.update_mask, Mailing, WRITABLE, "mailing")
        return messages.mailing(self._mailings.update(request.mailing.id, request.mailing.etag, patch))

    def DeleteMailing(self, request: mailing_service_pb2.DeleteMailingRequest, context: Any) -> mailing_pb2.Mailing:
        checks.positive(id=request.id)
        return messages.mailing(self._mailings.delete(request.id, request.etag))

    def TrackMessage(self, request: mailing_service_pb2.TrackMessageRequest, context: Any) -> mailing_service_pb2.TrackMessageResponse:
        checks.positive(mailing_id=request.mailing_id)
        parts = (request.html, request.text, request.charset)
        return messages.tracked_message(self._tracking.track(request.mailing_id, *parts, user_of(context)))

    async def RenderMessages(
        self, request_iterator: AsyncIterator[mailing_service_pb2.RenderMessagesRequest], context: Any
    ) -> AsyncIterator[mailing_service_pb2.RenderMessagesResponse]:
        press, first = None, None
        async for request in request_iterator:
            if press is None or first is None:
                checks.positive(mailing_id=request.mailing_id)
                first, press = request, await run(self._rendering.press, request.mailing_id)
            same_subject(first, request)
            at_most(request)
            served = await run(messages.numbered, press.mint, request.recipients)
            start = 0
            while start < len(served) or start == 0:  # a request for nobody is answered too
                rendered = await run(messages.rendered, press, served, start)
                yield mailing_service_pb2.RenderMessagesResponse(sequence=request.sequence, first_recipient=start, messages=rendered)
                start += len(rendered) or 1

    async def MintUrls(
        self, request_iterator: AsyncIterator[mailing_service_pb2.MintUrlsRequest], context: Any
    ) -> AsyncIterator[mailing_service_pb2.MintUrlsResponse]:
        mint, first = None, None
        async for request in request_iterator:
            if mint is None or first is None:
                checks.mint_subject(request.mailing_id, request.link_ids)
                first = request
                inside = request.mailing_id > 0
                mint = await (
                    run(self._minting.inside, request.mailing_id) if inside else run(self._minting.outside, list(request.link_ids))
                )
            same_subject(first, request)
            at_most(request)
            served = await run(messages.numbered, mint, request.recipients)
            start = 0
            while start < len(served) or start == 0:
                minted = await run(messages.minted, mint, served, start)
                yield mailing_service_pb2.MintUrlsResponse(sequence=request.sequence, first_recipient=start, results=minted)
                start += len(minted) or 1

    def ListMailingLinks(
        self, request: mailing_service_pb2.ListMailingLinksRequest, context: Any
    ) -> mailing_service_pb2.ListMailingLinksResponse:
        with checks.AllAtOnce() as each:
            each(checks.positive, mailing_id=request.mailing_id)
            size = each(self._tokens.page_size, request)
        after = self._tokens.after(request)
        page = self._mailings.links(request.mailing_id, after, size)
        links, next_key = fitting(page, messages.mailing_link, lambda found: (found.link.id,))
        return mailing_service_pb2.ListMailingLinksResponse(links=links, next_page_token=self._tokens.token(request, next_key))


def _creator(request: mailing_service_pb2.ListMailingsRequest, context: Any) -> int | None:
    return checks.mine(user_of(context)) if request.mine else None
