"""What recipients see and do behind special links: unsubscribe, manage subscriptions, view online. A page asks, POST acts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from starlette.types import Receive, Scope, Send

from redirect import pages
from redirect.connection import connect
from redirect.forms import Form, NotAForm, read_form
from redirect.sending import language_of, send_not_found, send_page, send_unavailable
from trackedlinks.v1 import crm_service_pb2, mailing_pb2, recipient_service_pb2, recipient_service_pb2_grpc

log = structlog.get_logger()

SECONDS = 8.0
"""How long the server may take. It waits for a remote CRM, 2 s to read and 2 s to write."""

Change = recipient_service_pb2.SubscriptionChange
UNSUBSCRIBE = mailing_pb2.PLACEMENT_KIND_UNSUBSCRIBE
VIEW_ONLINE = mailing_pb2.PLACEMENT_KIND_VIEW_ONLINE


class SpecialPages:
    """Answers whoever opens special links, with what RecipientService at `address` says."""

    def __init__(self, address: str, stands: Callable[[str], Awaitable[bool]]) -> None:
        """`stands` says whether a token is one of a special link, whatever the server says of it."""
        self._address = address
        self._stands = stands
        self._channel: grpc.aio.Channel | None = None

    def start(self) -> None:
        """Opens the connection. Needs a running event loop."""
        self._channel = connect(self._address)

    async def stop(self) -> None:
        """Ends it."""
        if self._channel is not None:
            await self._channel.close()

    async def show(self, kind: int, token: str, scope: Scope, send: Send) -> None:
        """The page of a special link of this kind. Changes nothing, however often it is opened."""
        try:
            if kind == VIEW_ONLINE:
                await self._view_online(token, scope, send)
            else:
                await self.show_subscriptions(token, "", scope, send)
        except grpc.RpcError as error:
            await self._send_problem(error, token, "", scope, send)

    async def show_renewed(self, token: str, renewal: str, scope: Scope, send: Send) -> None:
        """The page of a link to manage subscriptions that was renewed."""
        try:
            await self.show_subscriptions(token, renewal, scope, send)
        except grpc.RpcError as error:
            await self._send_problem(error, token, renewal, scope, send)

    async def act(self, token: str, renewal: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Does what a form of a page asks for, or a mail program with one click (RFC 8058), and answers with the page afterwards."""
        try:
            form = await read_form(scope, receive)
        except NotAForm as problem:
            await send_page(send, scope, problem.status, pages.bad_request(language_of(scope)), pages.HEADERS)
            return
        try:
            await self._act(form, token, renewal, scope, send)
        except grpc.RpcError as error:
            await self._send_problem(error, token, renewal, scope, send)

    async def show_subscriptions(self, token: str, renewal: str, scope: Scope, send: Send) -> None:
        """The page of a link to unsubscribe or to manage subscriptions. Raises grpc.RpcError."""
        request = recipient_service_pb2.GetSubscriptionPageRequest(token=token, renewal=renewal)
        found = await self._stub.GetSubscriptionPage(request, timeout=SECONDS)
        language = language_of(scope, found.language)
        if found.kind != UNSUBSCRIBE:
            page = _manage(found, language, saved=False)
        else:
            (one,) = map(_subscription, found.subscriptions)
            page = pages.unsubscribe(one, language, found.trial) if one.subscribed else pages.unsubscribed(one, language, found.trial)
        await send_page(send, scope, 200, page, pages.FORM_HEADERS)

    async def _act(self, form: Form, token: str, renewal: str, scope: Scope, send: Send) -> None:
        if form.get("List-Unsubscribe") == "One-Click" or form.get("unsubscribe") == "yes":
            await self._change_one(token, renewal, False, scope, send)
        elif form.get("subscribe") == "yes":
            await self._change_one(token, renewal, True, scope, send)
        elif (changes := _changes(form)) is not None:
            found = await self._changed(token, renewal, changes)
            await send_page(send, scope, 200, _manage(found, language_of(scope, found.language), saved=True), pages.FORM_HEADERS)
        elif form.get("renew") == "yes":
            new = await self._stub.RenewSubscriptionLink(recipient_service_pb2.RenewSubscriptionLinkRequest(token=token), timeout=SECONDS)
            page = pages.renewed(new.url, language_of(scope, new.language), new.expire_time.ToDatetime(UTC))
            await send_page(send, scope, 200, page, pages.HEADERS)
        else:
            await send_page(send, scope, 400, pages.bad_request(language_of(scope)), pages.HEADERS)

    async def _change_one(self, token: str, renewal: str, subscribed: bool, scope: Scope, send: Send) -> None:
        found = await self._changed(token, renewal, [Change(subscribed=subscribed)])
        (one,), language = map(_subscription, found.subscriptions), language_of(scope, found.language)
        now = subscribed if found.trial else one.subscribed
        page = pages.subscribed(one, language, found.trial) if now else pages.unsubscribed(one, language, found.trial)
        await send_page(send, scope, 200, page, pages.FORM_HEADERS)

    async def _changed(self, token: str, renewal: str, changes: Sequence[Change]) -> recipient_service_pb2.SubscriptionPage:
        request = recipient_service_pb2.ChangeSubscriptionsRequest(token=token, renewal=renewal, changes=changes)
        # What a recipient has asked for is done even when the connection ends before the answer.
        return await asyncio.shield(self._stub.ChangeSubscriptions(request, timeout=SECONDS))

    async def _view_online(self, token: str, scope: Scope, send: Send) -> None:
        found = await self._stub.ViewOnline(recipient_service_pb2.ViewOnlineRequest(token=token), timeout=SECONDS)
        if found.html:
            content_type = (b"content-type", f"text/html; charset={found.charset}".encode("ascii"))
            await send_page(send, scope, 200, found.html, [content_type, *pages.ONLINE_HEADERS])
            return
        page = pages.plain_message(found.text.decode(found.charset, "replace"), language_of(scope))
        await send_page(send, scope, 200, page, pages.HEADERS)

    async def _send_problem(self, error: grpc.RpcError, token: str, renewal: str, scope: Scope, send: Send) -> None:
        language = language_of(scope)
        match _reason(error):
            case "TOKEN_INVALID" if renewal or not await self._stands(token):
                await send_not_found(send, scope)
            case "SUBSCRIPTION_LINK_EXPIRED":
                await send_page(send, scope, 410, pages.expired(language), pages.FORM_HEADERS)
            case "MESSAGE_GONE" | "MESSAGE_MISSING":
                await send_page(send, scope, 410, pages.message_gone(language), pages.HEADERS)
            case "REFERENCE_NOT_FOUND" | "INVALID_FIELD":
                await send_page(send, scope, 400, pages.bad_request(language), pages.HEADERS)
            case reason:
                log.warning("special_link_unanswered", reason=reason)
                await send_unavailable(send, scope)

    @property
    def _stub(self) -> "recipient_service_pb2_grpc.RecipientServiceAsyncStub":
        assert self._channel is not None, "start() comes first"
        return recipient_service_pb2_grpc.RecipientServiceStub(self._channel)


def _subscription(found: crm_service_pb2.Subscription) -> pages.Subscription:
    return pages.Subscription(found.mailing_type_id, found.mailing_type, found.subscribed)


def _manage(found: recipient_service_pb2.SubscriptionPage, language: str, saved: bool) -> bytes:
    until = found.expire_time.ToDatetime(UTC)
    return pages.manage([_subscription(each) for each in found.subscriptions], language, found.trial, until, saved and not found.trial)


def _changes(form: Form) -> list[Change] | None:
    """What the form of the page for managing subscriptions asks for; None when it is not that form, or not as the page made it."""
    if form.get("save") != "yes" and form.get("leave_all") != "yes":
        return None
    shown, wanted = form.get_all("shown"), set() if form.get("leave_all") == "yes" else {*form.get_all("wanted")}
    if not shown or not all(each.isascii() and each.isdigit() and len(each) <= _MOST_DIGITS for each in shown):
        return None
    return [Change(mailing_type_id=int(each), subscribed=each in wanted) for each in dict.fromkeys(shown)]


_MOST_DIGITS = 18


def _reason(error: grpc.RpcError) -> str:
    if not isinstance(error, grpc.aio.AioRpcError):
        return type(error).__name__
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # its details are about another status: something between us and the server made it
        return error.code().name
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return str(info.reason)
    return error.code().name
