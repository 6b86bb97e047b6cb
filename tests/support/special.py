"""What tests of special links share: a mailing with all of them, sent, and a front door to open them at."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from redirect.app import create
from redirect.settings import Settings
from tests.support.campaign import Campaign
from trackedlinks.v1 import crm_service_pb2, mailing_pb2, mailing_service_pb2

MESSAGE = (
    b'<p>Dear {{ name }}</p><a href="https://example.com/offers/{{ id }}?for={{ name }}#{{ id }}">Offers</a> '
    b'<a href="trackedlink:unsubscribe">Unsubscribe</a> <a href="trackedlink:manage-subscriptions">Subscriptions</a> '
    b'<a href="trackedlink:view-online">View online</a>'
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One recipient's URLs, as paths, and the mailing they are of."""

    mailing_id: int
    offers: str
    unsubscribe: str
    manage: str
    online: str
    header: str
    html: bytes


async def sent(campaign: Campaign, recipient: mailing_pb2.Recipient, html: bytes = MESSAGE, **fields: Any) -> Sent:
    """A mailing with all special links and a link with merge fields, sent to one recipient, who brings `id` and `name`."""
    if "mailing_type_id" not in fields:
        fields["mailing_type_id"] = await campaign.entry("MAILING_TYPE", f"Newsletter {uuid4()}")
    mailing = await campaign.mailing(**fields)
    tracked = await campaign.track(mailing.id, html)
    return await to(campaign, tracked, mailing.id, recipient)


async def to(
    campaign: Campaign, tracked: mailing_service_pb2.TrackMessageResponse, mailing_id: int, recipient: mailing_pb2.Recipient
) -> Sent:
    """The message that was tracked, sent to one recipient."""
    recipient.merge_fields.setdefault("id", "7")
    recipient.merge_fields.setdefault("name", "Kari & co")
    minted = await minted_urls(campaign, mailing_id, recipient)
    of = {each.placement.kind: path_of(minted[each.placement.id]) for each in tracked.tracked}
    rendered = await campaign_rendered(campaign, mailing_id, recipient)
    return Sent(
        mailing_id,
        of[mailing_pb2.PLACEMENT_KIND_LINK],
        of.get(mailing_pb2.PLACEMENT_KIND_UNSUBSCRIBE, ""),
        of.get(mailing_pb2.PLACEMENT_KIND_MANAGE_SUBSCRIPTIONS, ""),
        of.get(mailing_pb2.PLACEMENT_KIND_VIEW_ONLINE, ""),
        path_of(minted.get(tracked.template.unsubscribe_placement_id, "")),
        rendered.html,
    )


async def minted_urls(campaign: Campaign, mailing_id: int, recipient: mailing_pb2.Recipient) -> dict[int, str]:
    """One recipient's URLs by placement."""
    call = campaign.stubs.mailings.MintUrls()
    await call.write(mailing_service_pb2.MintUrlsRequest(mailing_id=mailing_id, recipients=[recipient]))
    await call.done_writing()
    (result,) = [result async for response in call for result in response.results]
    assert not result.HasField("error"), result.error
    return {url.placement_id: url.url for url in result.urls}


async def campaign_rendered(campaign: Campaign, mailing_id: int, recipient: mailing_pb2.Recipient) -> mailing_service_pb2.RenderedMessage:
    """One recipient's message."""
    call = campaign.stubs.mailings.RenderMessages()
    await call.write(mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing_id, recipients=[recipient]))
    await call.done_writing()
    (message,) = [message async for response in call for message in response.messages]
    rendered: mailing_service_pb2.RenderedMessage = message
    return rendered


@contextlib.asynccontextmanager
async def front_door(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A front door in this process, and something to open its URLs with; redirects are not followed."""
    app = create(settings)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://front", timeout=30) as client:
            yield client


async def subscribed(campaign: Campaign, mailing_type_id: int, **who: Any) -> bool:
    """Whether somebody is subscribed."""
    request = crm_service_pb2.GetSubscriptionsRequest(subscribers=[crm_service_pb2.Subscriber(**who)], mailing_type_id=mailing_type_id)
    ((found,),) = [result.subscriptions for result in (await campaign.stubs.crm.GetSubscriptions(request)).results]
    return bool(found.subscribed)


def path_of(url: str) -> str:
    """The path of a URL whose only segment is its token."""
    return "/" + url.rpartition("/")[2]
