"""RecipientService over gRPC: message in, use case, message out."""

from typing import Any

from server.model.subscription import SubscriptionChange
from server.online import Viewing
from server.rpc import checks, wire
from server.rpc.calls import run
from server.subscriptions import Subscriptions
from trackedlinks.v1 import recipient_service_pb2, recipient_service_pb2_grpc

MOST_CHANGES = 1000


class RecipientServicer(recipient_service_pb2_grpc.RecipientServiceServicer):
    """Serves what recipients see and do behind special links."""

    def __init__(self, subscriptions: Subscriptions, viewing: Viewing) -> None:
        self._subscriptions = subscriptions
        self._viewing = viewing

    async def GetSubscriptionPage(
        self, request: recipient_service_pb2.GetSubscriptionPageRequest, context: Any
    ) -> recipient_service_pb2.SubscriptionPage:
        found = await self._subscriptions.page(request.token, request.renewal)
        return await run(wire.to_message, found, recipient_service_pb2.SubscriptionPage)

    async def ChangeSubscriptions(
        self, request: recipient_service_pb2.ChangeSubscriptionsRequest, context: Any
    ) -> recipient_service_pb2.SubscriptionPage:
        found = await self._subscriptions.change(request.token, request.renewal, await run(_changes, request))
        return await run(wire.to_message, found, recipient_service_pb2.SubscriptionPage)

    def RenewSubscriptionLink(
        self, request: recipient_service_pb2.RenewSubscriptionLinkRequest, context: Any
    ) -> recipient_service_pb2.RenewedSubscriptionLink:
        found = self._subscriptions.renew(request.token)
        return wire.to_message(found, recipient_service_pb2.RenewedSubscriptionLink)

    def ViewOnline(self, request: recipient_service_pb2.ViewOnlineRequest, context: Any) -> recipient_service_pb2.OnlineMessage:
        return wire.to_message(self._viewing.view(request.token), recipient_service_pb2.OnlineMessage)


def _changes(request: recipient_service_pb2.ChangeSubscriptionsRequest) -> list[SubscriptionChange]:
    with checks.AllAtOnce() as each:
        each(checks.count, "changes", len(request.changes), MOST_CHANGES)
        for index, change in enumerate(request.changes[:MOST_CHANGES]):
            each(checks.not_negative, **{f"changes[{index}].mailing_type_id": change.mailing_type_id})
    return [SubscriptionChange(change.mailing_type_id, change.subscribed) for change in request.changes]
