"""What tests of the CRM share: persons and entries in it, links with actions, and clicks on their URLs."""

from typing import Any

from uuid_utils import uuid7

from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    click_pb2,
    click_service_pb2,
    crm_pb2,
    crm_service_pb2,
    embedded_crm_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)

DONE, SKIPPED, FAILED = click_pb2.ACTION_STATE_DONE, click_pb2.ACTION_STATE_SKIPPED, click_pb2.ACTION_STATE_FAILED


async def entry(stubs: Stubs, catalog: Any, name: str) -> int:
    """Makes an entry of a catalogue; its id."""
    draft = crm_pb2.CatalogEntry(catalog=catalog, name=name)
    made = await stubs.embedded_crm.CreateCatalogEntry(embedded_crm_service_pb2.CreateCatalogEntryRequest(entry=draft))
    return int(made.id)


async def delete_entry(stubs: Stubs, entry_id: int) -> None:
    """Deletes an entry."""
    await stubs.embedded_crm.DeleteCatalogEntry(embedded_crm_service_pb2.DeleteCatalogEntryRequest(id=entry_id))


async def person(stubs: Stubs, name: str = "Ola Nordmann", **fields: Any) -> int:
    """Makes a person; the id."""
    made = await stubs.embedded_crm.CreatePerson(create_person(name=name, **fields))
    return int(made.id)


def create_person(request_id: str = "", **fields: Any) -> embedded_crm_service_pb2.CreatePersonRequest:
    """The request that makes a person with these fields."""
    return embedded_crm_service_pb2.CreatePersonRequest(person=crm_pb2.Person(**fields), request_id=request_id)


def references(*ids: int) -> list[crm_pb2.NamedReference]:
    """Memberships, by id."""
    return [crm_pb2.NamedReference(id=entry_id) for entry_id in ids]


async def card(stubs: Stubs, person_id: int) -> crm_pb2.Person:
    """A person's card."""
    found: crm_pb2.Person = await stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=person_id))
    return found


async def follow_ups(stubs: Stubs, person_id: int = 0) -> list[crm_pb2.FollowUp]:
    """Follow-ups, newest first."""
    request = embedded_crm_service_pb2.ListFollowUpsRequest(person_id=person_id)
    return list((await stubs.embedded_crm.ListFollowUps(request)).follow_ups)


async def service_requests(stubs: Stubs, person_id: int = 0) -> list[crm_pb2.ServiceRequest]:
    """Service requests, newest first."""
    request = embedded_crm_service_pb2.ListServiceRequestsRequest(person_id=person_id)
    return list((await stubs.embedded_crm.ListServiceRequests(request)).service_requests)


async def link(stubs: Stubs, *actions: link_pb2.LinkAction, name: str = "Spring") -> link_pb2.Link:
    """Makes a link with these actions."""
    draft = link_pb2.Link(name=name, redirect=link_pb2.Redirect(url="https://example.com/"), actions=actions)
    made: link_pb2.Link = await stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    return made


async def mailing_with(stubs: Stubs, name: str, link_id: int) -> int:
    """Makes a mailing whose message has one use of a link; its id."""
    request = mailing_service_pb2.CreateMailingRequest(mailing=mailing_pb2.Mailing(name=name))
    mailing = await stubs.mailings.CreateMailing(request)
    html = f'<a href="trackedlink:{link_id}">here</a>'.encode()
    await stubs.mailings.TrackMessage(mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html))
    return int(mailing.id)


async def mint(stubs: Stubs, link_id: int, mailing_id: int = 0, **recipient: Any) -> str:
    """The token of a recipient's URL for a link, outside a mailing or for the one link in it."""
    minting = stubs.mailings.MintUrls()
    subject = {"mailing_id": mailing_id} if mailing_id else {"link_ids": [link_id]}
    await minting.write(mailing_service_pb2.MintUrlsRequest(recipients=[mailing_pb2.Recipient(**recipient)], **subject))
    response = await minting.read()
    minting.cancel()
    token: str = response.results[0].urls[0].url.rpartition("/")[2]
    return token


async def click(stubs: Stubs, token: str, click_id: str = "", **evidence: Any) -> click_service_pb2.RecordClickResponse:
    """Records a click on a URL."""
    request = click_service_pb2.RecordClickRequest(click_id=click_id or str(uuid7()), token=token, evidence=click_pb2.Evidence(**evidence))
    response: click_service_pb2.RecordClickResponse = await stubs.clicks.RecordClick(request)
    return response


async def outcomes(stubs: Stubs, to_link: link_pb2.Link, mailing_id: int = 0, **recipient: Any) -> list[tuple[Any, str]]:
    """Clicks a link once: what became of each of its actions, and why."""
    response = await click(stubs, await mint(stubs, to_link.id, mailing_id, **recipient))
    return [(outcome.state, outcome.reason) for outcome in response.click.actions]
