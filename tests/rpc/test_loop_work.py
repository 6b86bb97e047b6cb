"""What the event loop does for a call, which is kept from clicks meanwhile, does not grow with what is asked or answered."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from uuid_utils import uuid7

from server.rpc.effects import to_message
from tests.contract.test_contract import methods
from tests.support.campaign import Campaign
from tests.support.effects import follow_up, service_request
from tests.support.loop_work import LoopWork, counted
from tests.support.server import serving
from tests.support.special import MESSAGE, sent
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    click_service_pb2,
    crm_pb2,
    crm_service_pb2,
    embedded_crm_service_pb2,
    folder_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
    recipient_service_pb2,
    script_pb2,
    script_service_pb2,
)

MANY = 60
"""Things that are asked for, or answered with, or both."""

MOST_CALLS = 100
"""What the server's code may call in one callback of the loop. When answers were built there, it was up to 151,298."""

SMALL = {
    *("RetryActionRuns", "DeletePerson", "CreateCatalogEntry", "DeleteCatalogEntry", "SetSubscription", "RenewSubscriptionLink"),
    *("CreateFolder", "GetFolder", "MoveFolder", "DeleteFolder", "UpdateFolder", "GetMailing", "CreateMailing", "DeleteMailing"),
    *("UpdateMailing", "CreateScript", "GetScript", "UpdateScript", "TestScript", "GetActionRun", "ViewOnline"),
}
"""Requests and answers that have no lists, or lists of a few fields' names."""

FEW = {"ListReceivers", "MoveLinks", "GetSubscriptionPage", "ChangeSubscriptions"}
"""What has less than it might: mailing types of a page are handled on the loop, six calls for each; a thousand are a millisecond."""

OF_CLICKS = {"RecordClick", "RecordClicks"}


@pytest.fixture
async def stubs(sqlite_template: Path, tmp_path: Path) -> Any:
    path = tmp_path / "test.db"
    path.write_bytes(sqlite_template.read_bytes())
    async with serving(f"sqlite:///{path}", tmp_path) as client:
        yield client


Case = tuple[Any, Message]
"""A method of a stub, and a request."""


async def cases(stubs: Stubs) -> dict[str, Case]:
    """A request for each RPC that asks for, or is answered with, many things."""
    campaign = Campaign(stubs)
    interests = [await campaign.entry("INTEREST", f"Interest {n}") for n in range(MANY)]
    user = await campaign.entry("USER", "Liv")
    types = [await campaign.entry("MAILING_TYPE", f"Type {n}") for n in range(10)]
    actions = [link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=interests[:50])) for _ in range(20)]
    drafts = [
        link_pb2.Link(name=f"Link {n}", redirect=link_pb2.Redirect(url=f"https://example.com/{n}"), actions=actions) for n in range(MANY)
    ]
    batch = link_service_pb2.BatchCreateLinksRequest(links=drafts)
    links = (await stubs.links.BatchCreateLinks(batch)).links
    persons = [crm_service_pb2.Subscriber(person_id=await campaign.person(f"P{n}", extra_fields={"a": "b"})) for n in range(MANY)]
    ids = [each.person_id for each in persons]
    card = crm_pb2.Person(name="P", interests=[crm_pb2.NamedReference(id=each) for each in interests])
    person = await stubs.embedded_crm.CreatePerson(embedded_crm_service_pb2.CreatePersonRequest(person=card))
    made = [to_message(follow_up(ids[0], user)), to_message(service_request(ids[0]))]
    apply = crm_service_pb2.ApplyEffectsRequest(
        actions=[crm_service_pb2.ActionEffects(idempotency_key=f"k{n}", person_id=ids[0], effects=made) for n in range(MANY)]
    )
    for n in range(MANY):
        await stubs.folders.CreateFolder(folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(name=f"Folder {n}")))
        await campaign.mailing(f"Mailing {n}")
        script = script_pb2.Script(name=f"Script {n}", source="x = 1")
        await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=script))
    html = "".join(f'<a href="trackedlink:{link.id}">x</a><a href="mailto:a@example.com">y</a>' for link in links).encode()
    mailing = await campaign.mailing("Sent")
    track = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html)
    await stubs.mailings.TrackMessage(track)
    everybody = [mailing_pb2.Recipient(person_id=each) for each in ids[1:]] + [mailing_pb2.Recipient(email="a@example.com")]
    minted = await campaign.send(mailing.id, everybody)
    await _click(stubs, [urls[0] for urls in minted] + [minted[0][n] for n in range(MANY)])
    outside = await campaign.send(mailing.id, [mailing_pb2.Recipient(email=f"p{n}@example.com") for n in range(MANY)])
    await _click(stubs, [urls[1] for urls in outside])
    special = await sent(campaign, mailing_pb2.Recipient(person_id=ids[0]), MESSAGE, mailing_type_id=types[0])
    page = recipient_service_pb2.GetSubscriptionPageRequest(token=special.manage[1:])
    changes = [recipient_service_pb2.SubscriptionChange(mailing_type_id=each) for each in types]
    actions_of: Any = {"link_id": links[0].id}
    paged: Any = {"page_size": 1000}
    changed = link_pb2.Link(id=links[1].id, redirect=link_pb2.Redirect(url="https://example.com/"), actions=actions)
    references = [crm_service_pb2.Reference(catalog=crm_pb2.CATALOG_PROJECT, id=9000 + n) for n in range(MANY)]
    selection = await campaign.entry("SELECTION", "S")
    add = click_service_pb2.AddClickersRequest(link_id=links[1].id, selection_id=selection)
    return {
        "ListActionRuns": (stubs.actions.ListActionRuns, action_service_pb2.ListActionRunsRequest(**actions_of, **paged)),
        "TestActions": (
            stubs.actions.TestActions,
            action_service_pb2.TestActionsRequest(link_id=links[0].id, recipient=mailing_pb2.Recipient(person_id=ids[0])),
        ),
        "ListReceivers": (stubs.actions.ListReceivers, action_service_pb2.ListReceiversRequest(**paged)),
        "ListClickers": (stubs.clicks.ListClickers, click_service_pb2.ListClickersRequest(**actions_of, **paged)),
        "ListClicks": (stubs.clicks.ListClicks, click_service_pb2.ListClicksRequest(**actions_of, **paged)),
        "AddClickers": (stubs.clicks.AddClickers, add),
        "GetPerson": (stubs.crm.GetPerson, crm_service_pb2.GetPersonRequest(id=person.id)),
        "BatchGetPersons": (stubs.crm.BatchGetPersons, crm_service_pb2.BatchGetPersonsRequest(ids=ids)),
        "CheckReferences": (stubs.crm.CheckReferences, crm_service_pb2.CheckReferencesRequest(references=references)),
        "ApplyEffects": (stubs.crm.ApplyEffects, apply),
        "ListFollowUps": (stubs.embedded_crm.ListFollowUps, embedded_crm_service_pb2.ListFollowUpsRequest(**paged)),
        "ListServiceRequests": (stubs.embedded_crm.ListServiceRequests, embedded_crm_service_pb2.ListServiceRequestsRequest(**paged)),
        "GetSubscriptions": (stubs.crm.GetSubscriptions, crm_service_pb2.GetSubscriptionsRequest(subscribers=persons)),
        "CreatePerson": (stubs.embedded_crm.CreatePerson, embedded_crm_service_pb2.CreatePersonRequest(person=card)),
        "ListPersons": (stubs.embedded_crm.ListPersons, embedded_crm_service_pb2.ListPersonsRequest(**paged)),
        "ListCatalogEntries": (stubs.embedded_crm.ListCatalogEntries, embedded_crm_service_pb2.ListCatalogEntriesRequest(**paged)),
        "ListFolders": (stubs.folders.ListFolders, folder_service_pb2.ListFoldersRequest(**paged)),
        "CreateLink": (stubs.links.CreateLink, link_service_pb2.CreateLinkRequest(link=drafts[0])),
        "BatchCreateLinks": (stubs.links.BatchCreateLinks, batch),
        "GetLink": (stubs.links.GetLink, link_service_pb2.GetLinkRequest(id=links[0].id)),
        "BatchGetLinks": (stubs.links.BatchGetLinks, link_service_pb2.BatchGetLinksRequest(ids=[link.id for link in links][:100])),
        "ListLinks": (stubs.links.ListLinks, link_service_pb2.ListLinksRequest(**paged)),
        "UpdateLink": (stubs.links.UpdateLink, link_service_pb2.UpdateLinkRequest(link=changed)),
        "MoveLinks": (stubs.links.MoveLinks, link_service_pb2.MoveLinksRequest(ids=[link.id for link in links])),
        "ResetLink": (stubs.links.ResetLink, link_service_pb2.ResetLinkRequest(id=links[2].id)),
        "DeleteLink": (stubs.links.DeleteLink, link_service_pb2.DeleteLinkRequest(id=links[2].id)),
        "UndeleteLink": (stubs.links.UndeleteLink, link_service_pb2.UndeleteLinkRequest(id=links[2].id)),
        "ListMailings": (stubs.mailings.ListMailings, mailing_service_pb2.ListMailingsRequest(**paged)),
        "TrackMessage": (stubs.mailings.TrackMessage, track),
        "ListMailingLinks": (
            stubs.mailings.ListMailingLinks,
            mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing.id, **paged),
        ),
        "RenderMessages": (
            _first_of(stubs.mailings.RenderMessages),
            mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, recipients=everybody),
        ),
        "MintUrls": (
            _first_of(stubs.mailings.MintUrls),
            mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=everybody),
        ),
        "WatchPlacements": (_watched(stubs), click_service_pb2.WatchPlacementsRequest()),
        "GetSubscriptionPage": (stubs.recipients.GetSubscriptionPage, page),
        "ChangeSubscriptions": (
            stubs.recipients.ChangeSubscriptions,
            recipient_service_pb2.ChangeSubscriptionsRequest(token=special.manage[1:], changes=changes),
        ),
        "ListScripts": (stubs.scripts.ListScripts, script_service_pb2.ListScriptsRequest(**paged)),
    }


async def _click(stubs: Stubs, urls: Iterable[str]) -> None:
    clicks = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2]) for url in urls]
    call = stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=clicks))
    await call.done_writing()
    assert sum([len(answer.committed) async for answer in call]) == len(clicks)


def _first_of(method: Any) -> Callable[[Message], Awaitable[Any]]:
    """Sends one request and takes the first answer of a stream."""

    async def call(request: Message) -> Any:
        stream = method()
        await stream.write(request)
        answer = await stream.read()
        stream.cancel()
        return answer

    return call


def _watched(stubs: Stubs) -> Callable[[Message], Awaitable[Any]]:
    async def call(request: Message) -> Any:
        stream = stubs.clicks.WatchPlacements(request)
        answer = await stream.read()
        stream.cancel()
        return answer

    return call


async def test_the_loop_does_as_little_for_many_things_as_for_few(stubs: Stubs) -> None:
    worked: dict[str, LoopWork] = {}
    for name, (call, request) in (await cases(stubs)).items():
        with counted() as worked[name]:
            answer = await call(request)
        assert name in FEW or answer.ByteSize() + request.ByteSize() > 5 * MANY, f"{name} is asked for too little"
    assert {name: work.most.most_common(6) for name, work in worked.items() if work.most.total() > MOST_CALLS} == {}
    names = {path.rpartition("/")[2] for path in methods()}
    assert names - set(worked) == SMALL | OF_CLICKS, "every RPC is tried, or named as one with small messages"
