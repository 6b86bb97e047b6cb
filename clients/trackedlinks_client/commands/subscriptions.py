"""`trackedlinks subscriptions`, `trackedlinks subscribe` and `trackedlinks unsubscribe`"""

from typing import Annotated

import typer

from trackedlinks.v1 import crm_service_pb2
from trackedlinks_client.output import Json, json_line, say, table, when
from trackedlinks_client.session import connection

_MOST_DIGITS = 19

_Who = Annotated[str, typer.Argument(help="A person's id, or an e-mail address.")]
_Type = Annotated[int, typer.Argument(help="The mailing type's id.", metavar="MAILING_TYPE_ID")]


def subscriptions(ctx: typer.Context, who: _Who, as_json: Json = False) -> None:
    """Show which types of mailings somebody gets."""
    with connection(ctx) as service:
        request = crm_service_pb2.GetSubscriptionsRequest(subscribers=[_subscriber(who)])
        found = service.crm.GetSubscriptions(request).results[0].subscriptions
    if as_json:
        for each in found:
            json_line(each)
        return
    rows = [(each.mailing_type_id, each.mailing_type, _state(each), when(each.change_time)) for each in found]
    table(("TYPE#", "NAME", "STATE", "SINCE"), rows, "no mailing types")


def subscribe(ctx: typer.Context, who: _Who, mailing_type_id: _Type) -> None:
    """Have somebody get a type of mailings again."""
    _set(ctx, who, mailing_type_id, True)


def unsubscribe(ctx: typer.Context, who: _Who, mailing_type_id: _Type) -> None:
    """Have somebody get a type of mailings no more."""
    _set(ctx, who, mailing_type_id, False)


def _set(ctx: typer.Context, who: str, mailing_type_id: int, subscribed: bool) -> None:
    with connection(ctx) as service:
        request = crm_service_pb2.SetSubscriptionRequest(
            subscriber=_subscriber(who), mailing_type_id=mailing_type_id, subscribed=subscribed
        )
        found = service.crm.SetSubscription(request)
    say(f"{who}: {found.mailing_type} {_state(found)}")


def _subscriber(who: str) -> crm_service_pb2.Subscriber:
    if who.isascii() and who.isdigit() and len(who) < _MOST_DIGITS:
        return crm_service_pb2.Subscriber(person_id=int(who))
    return crm_service_pb2.Subscriber(email=who)


def _state(of: crm_service_pb2.Subscription) -> str:
    return "subscribed" if of.subscribed else "unsubscribed"
