"""What tests do again and again through the contract: make links and CRM entries, mint URLs, send a message."""

from collections.abc import Sequence
from typing import Any

from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    click_service_pb2,
    crm_pb2,
    crm_service_pb2,
    embedded_crm_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)


class Campaign:
    """A marketer at work, over one connection."""

    def __init__(self, stubs: Stubs) -> None:
        self.stubs = stubs

    async def entry(self, catalog: str, name: str) -> int:
        """A new entry of a catalogue of the embedded CRM; its id."""
        entry = crm_pb2.CatalogEntry(catalog=crm_pb2.Catalog.Value(f"CATALOG_{catalog}"), name=name)
        request = embedded_crm_service_pb2.CreateCatalogEntryRequest(entry=entry)
        return int((await self.stubs.embedded_crm.CreateCatalogEntry(request)).id)

    async def person(self, name: str, **fields: Any) -> int:
        """A new person of the embedded CRM; the id."""
        request = embedded_crm_service_pb2.CreatePersonRequest(person=crm_pb2.Person(name=name, **fields))
        return int((await self.stubs.embedded_crm.CreatePerson(request)).id)

    async def card(self, person_id: int) -> crm_pb2.Person:
        """A person's card."""
        person: crm_pb2.Person = await self.stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=person_id))
        return person

    async def link(self, name: str = "Link", url: str = "https://example.com/", text: str = "", **fields: Any) -> link_pb2.Link:
        """A new registered link with a redirect, or with a custom text where one is given."""
        response = {"custom_text": link_pb2.CustomText(html=text)} if text else {"redirect": link_pb2.Redirect(url=url)}
        draft = link_pb2.Link(name=name, **response, **fields)
        link: link_pb2.Link = await self.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
        return link

    async def form(self, name: str, url: str) -> link_pb2.Link:
        """A new registered link to a form."""
        draft = link_pb2.Link(name=name, form=link_pb2.Form(url=url))
        link: link_pb2.Link = await self.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
        return link

    async def read(self, link_id: int) -> link_pb2.Link:
        """The link as it is now."""
        link: link_pb2.Link = await self.stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link_id))
        return link

    async def counts(self, link_id: int) -> tuple[int, int, int]:
        """A link's clicks, clickers and suspected."""
        counts = (await self.read(link_id)).counts
        return counts.clicks, counts.clickers, counts.suspected

    async def mailing(self, name: str = "Mailing", **fields: Any) -> mailing_pb2.Mailing:
        """A new mailing that tracks all links."""
        settings: dict[str, Any] = {"name": name, "track_all_links": True} | fields
        draft = mailing_pb2.Mailing(**settings)
        mailing: mailing_pb2.Mailing = await self.stubs.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft))
        return mailing

    async def track(self, mailing_id: int, html: bytes) -> mailing_service_pb2.TrackMessageResponse:
        """Tracks an HTML message."""
        request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing_id, html=html)
        response: mailing_service_pb2.TrackMessageResponse = await self.stubs.mailings.TrackMessage(request)
        return response

    async def send(self, mailing_id: int, recipients: Sequence[mailing_pb2.Recipient]) -> list[list[str]]:
        """Each recipient's URLs in the mailing's message, by placement."""
        return await self._minted(recipients, mailing_id=mailing_id)

    async def mail(self, html: bytes, recipients: Sequence[mailing_pb2.Recipient], **fields: Any) -> tuple[int, list[list[str]]]:
        """A new mailing with a message, sent: its id, and each recipient's URLs."""
        mailing = await self.mailing(**fields)
        await self.track(mailing.id, html)
        return mailing.id, await self.send(mailing.id, recipients)

    async def url(self, link_id: int, recipient: mailing_pb2.Recipient | None = None) -> str:
        """A recipient's URL for a link outside any mailing."""
        return (await self._minted([recipient or mailing_pb2.Recipient()], link_ids=[link_id]))[0][0]

    async def clickers(self, **filters: Any) -> list[Any]:
        """Who clicked a link, a mailing, or a link in a mailing."""
        return list((await self.stubs.clicks.ListClickers(click_service_pb2.ListClickersRequest(**filters))).clickers)

    async def _minted(self, recipients: Sequence[mailing_pb2.Recipient], **subject: Any) -> list[list[str]]:
        call = self.stubs.mailings.MintUrls()
        for start in range(0, len(recipients), 1000):
            await call.write(mailing_service_pb2.MintUrlsRequest(recipients=recipients[start : start + 1000], **subject))
        await call.done_writing()
        return [[url.url for url in result.urls] async for response in call for result in response.results]


def person(person_id: int, **fields: Any) -> mailing_pb2.Recipient:
    """A recipient who is a registered person."""
    return mailing_pb2.Recipient(person_id=person_id, **fields)
