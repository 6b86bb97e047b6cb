"""ClickService over gRPC: message in, use case, message out."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from redirect.token import KEYS_METADATA
from server.clickers import Clickers
from server.clicks.way import ClickWay
from server.model.click import AddedClickers, Click, ClickerTarget, SpecialLink
from server.model.crm import Catalog, CatalogEntry
from server.model.errors import DomainError, Violation, invalid
from server.model.mailing import Recipient
from server.rpc import checks, wire
from server.rpc.admission import in_turn
from server.rpc.calls import request_of, run
from server.rpc.click_stream import ClickStream, draft_of
from server.rpc.filling import fill
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens
from server.rpc.stopping import stopping
from server.rpc.watched import position_of, told_messages
from server.store.requests import RequestId
from server.watching import Watching
from trackedlinks.v1 import click_pb2, click_service_pb2, click_service_pb2_grpc, crm_pb2, mailing_pb2

R = TypeVar("R", click_pb2.Click, click_pb2.Clicker)


class ClickServicer(click_service_pb2_grpc.ClickServiceServicer):
    """Serves the way of a click and the questions about clicks."""

    def __init__(self, way: ClickWay, clickers: Clickers, tokens: PageTokens, keys: str, watching: Watching) -> None:
        """`keys` says which keys this server verifies with, for front doors to compare."""
        self._way = way
        self._keys = keys
        self._watching = watching
        self._clickers = clickers
        self._tokens = tokens

    async def RecordClick(self, request: click_service_pb2.RecordClickRequest, context: Any) -> click_service_pb2.RecordClickResponse:
        (result,) = await self._way.record([draft_of(request)])
        answer = await asyncio.shield(result) if isinstance(result, asyncio.Task) else result  # a caller that goes does not undo it
        if isinstance(answer, DomainError):
            raise answer
        if isinstance(answer, SpecialLink):
            return click_service_pb2.RecordClickResponse(special_link=wire.to_message(answer, click_service_pb2.SpecialLink))
        click = answer.recorded.click
        recipients = await run(self._clickers.recipients, [click.recipient])
        response = click_service_pb2.RecordClickResponse(click=_click(click, recipients), duplicate=answer.recorded.duplicate)
        if page := answer.page():
            response.page.CopyFrom(wire.to_message(page, click_service_pb2.Page))
        else:
            response.location = answer.location
        return response

    async def RecordClicks(
        self, request_iterator: AsyncIterator[click_service_pb2.RecordClicksRequest], context: Any
    ) -> AsyncIterator[click_service_pb2.RecordClicksResponse]:
        await context.send_initial_metadata(((KEYS_METADATA, self._keys),))
        async for response in ClickStream(self._way, request_iterator).responses():
            yield response

    async def WatchPlacements(
        self, request: click_service_pb2.WatchPlacementsRequest, context: Any
    ) -> AsyncIterator[click_service_pb2.WatchPlacementsResponse]:
        await context.send_initial_metadata(((KEYS_METADATA, self._keys),))  # before anything is refused, or the caller does not see why
        position = position_of(request.position)
        async with contextlib.aclosing(self._watching.since(position, in_turn, request.highest_placement_id)) as watch:
            async for told in watch:
                responses = told_messages(told, position)
                while response := await run(next, responses, None):
                    yield response
                position = told.position
        raise stopping()

    def ListClickers(self, request: click_service_pb2.ListClickersRequest, context: Any) -> click_service_pb2.ListClickersResponse:
        with checks.AllAtOnce() as each:
            each(checks.link_or_mailing, request.link_id, request.mailing_id)
            size = each(self._tokens.page_size, request)
        after = self._tokens.after(request)
        page = self._clickers.clickers(request.link_id, request.mailing_id, after, size)
        recipients = self._clickers.recipients([clicker.recipient for clicker in page.items])
        clickers = [_with_recipient(wire.to_message(clicker, click_pb2.Clicker), clicker.recipient, recipients) for clicker in page.items]
        return click_service_pb2.ListClickersResponse(clickers=clickers, next_page_token=self._tokens.token(request, page.next_key))

    def ListClicks(self, request: click_service_pb2.ListClicksRequest, context: Any) -> click_service_pb2.ListClicksResponse:
        with checks.AllAtOnce() as each:
            each(checks.link_or_mailing, request.link_id, request.mailing_id)
            verdict = each(checks.known_verdict, request.verdict)
            size = each(self._tokens.page_size, request)
        after = self._tokens.after(request)
        page = self._clickers.clicks(request.link_id, request.mailing_id, verdict, after, size)
        recipients = self._clickers.recipients([click.recipient for click in page.items])
        clicks, next_key = fitting(page, lambda click: _click(click, recipients), lambda click: (uuid.UUID(click.id).bytes,))
        return click_service_pb2.ListClicksResponse(clicks=clicks, next_page_token=self._tokens.token(request, next_key))

    async def AddClickers(self, request: click_service_pb2.AddClickersRequest, context: Any) -> click_service_pb2.AddClickersResponse:
        target, asked = await run(_asked, request)
        added = await self._clickers.add(request.link_id, request.mailing_id, target, asked)
        return await run(self._added, added)

    def _added(self, added: AddedClickers) -> click_service_pb2.AddClickersResponse:
        recipients = self._clickers.recipients(added.skipped)
        skipped = [wire.to_message(recipients[number], mailing_pb2.Recipient) for number in added.skipped]
        return click_service_pb2.AddClickersResponse(
            target=wire.to_message(added.target, crm_pb2.CatalogEntry),
            added_count=added.added_count,
            present_count=added.present_count,
            skipped_count=added.skipped_count,
            skipped=skipped,
        )


def _asked(request: click_service_pb2.AddClickersRequest) -> tuple[ClickerTarget, RequestId]:
    with checks.AllAtOnce() as each:
        each(checks.link_or_mailing, request.link_id, request.mailing_id)
        target = each(_target, request)
        asked = each(request_of, request)
    return target, asked


def _target(request: click_service_pb2.AddClickersRequest) -> ClickerTarget:
    chosen = request.WhichOneof("target")
    match chosen:
        case "selection_id" | "project_id":
            checks.positive(**{chosen: getattr(request, chosen)})
            return ClickerTarget(Catalog(chosen.removesuffix("_id")), entry_id=getattr(request, chosen))
        case "new_selection" | "new_project":
            catalog = Catalog(chosen.removeprefix("new_"))
            entry = wire.validated(CatalogEntry, {"catalog": catalog, "name": getattr(request, chosen)}, chosen)
            return ClickerTarget(catalog, new_name=entry.name)
        case _:
            raise invalid(Violation("target", "one of selection_id, project_id, new_selection and new_project must be given"))


def _click(click: Click, recipients: Mapping[int, Recipient]) -> click_pb2.Click:
    return _with_recipient(wire.to_message(click, click_pb2.Click), click.recipient, recipients)


def _with_recipient(message: R, number: int, recipients: Mapping[int, Recipient]) -> R:
    """The message with who its recipient number means."""
    fill(message.recipient, recipients[number])
    return message
