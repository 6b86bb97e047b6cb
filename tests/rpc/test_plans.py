"""A day's work, and what SQLite does for it: no statement reads a whole table of those that grow with clicks, recipients or links."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Engine, event
from uuid_utils import uuid7

from server import sweeping
from server.store import resets
from tests.support.actions import every_kind
from tests.support.campaign import Campaign, person
from tests.support.receivers import Receiver, hangs
from tests.support.server import serving
from tests.support.special import minted_urls, sent, to
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
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

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU="

FEW = {"sqlite_sequence", "alembic_version", "crm_entry", "folder", "last_change", "mailing", "reset_remains", "script", "signing_key"}
"""Tables that a company has thousands of rows of at most."""

RARE = re.compile(
    r"UPDATE crm_person SET our_contact_id=\? WHERE crm_person.our_contact_id = \?|"  # a colleague is deleted
    r"SELECT crm_person.id FROM crm_person WHERE crm_person.our_contact_id = \?|"
    r"SELECT click_id, position, action_id, link_id, destination FROM outbox WHERE state = \?|"  # dead events are tried again
    r"UPDATE outbox SET lease_time = \?"  # the server starts
)
"""Statements that do, and may: an index would cost every click more than they take."""


@contextlib.contextmanager
def heard() -> Iterator[set[str]]:
    """The statements that every SQLite database is asked within the block, with their values."""
    statements: set[str] = set()

    def listen(driver: Any, _record: Any) -> None:
        driver.set_trace_callback(statements.add)

    event.listen(Engine, "connect", listen)
    try:
        yield statements
    finally:
        event.remove(Engine, "connect", listen)


def short(statement: str) -> str:
    """A statement without its values, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"'[^']*'|\b\d+\b", "?", statement.strip()))


def scans(database: sqlite3.Connection, statement: str) -> list[str]:
    """The tables that a statement reads whole, those that a page is the beginning of left out."""
    plan = [step[3] for step in database.execute(f"EXPLAIN QUERY PLAN {statement}")]
    text = short(statement)
    if " WHERE " not in text and " LIMIT " in text and not any("TEMP B-TREE" in step for step in plan):
        return []
    return [step.split()[1] for step in plan if re.match(r"SCAN \w", step) and "CONSTANT ROW" not in step]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_days_work_reads_no_table_whole_that_grows(
    database_url: str, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resets, "SLICE", 3)
    monkeypatch.setattr(sweeping, "LOOK_SECONDS", 0.01)
    with heard() as statements:
        async with Receiver(hangs) as receiver, serving(database_url, tmp_path, webhook_allow=(receiver.pair,)) as stubs:
            await a_day(Campaign(stubs), receiver.url())
            await swept(tmp_path / "test.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables >= FEW
        grow = tables - FEW
        asked = {each for each in statements if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", each)}
        reached = {table for table in grow for each in asked if re.search(rf"\b{table}\b", each)}
        assert grow - reached <= {"crm_applied", "gone_receiver"}, "the day is too short to tell"
        found = {each: tables for each in asked if (tables := grow.intersection(scans(database, each))) and not RARE.match(short(each))}
    assert found == {}


async def a_day(campaign: Campaign, hook: str) -> None:
    """What marketers, recipients and operators do."""
    stubs = campaign.stubs
    acting, made = await every_kind(stubs)
    type_id, colleague = await campaign.entry("MAILING_TYPE", "News"), await campaign.entry("USER", "Liv")
    people = [await campaign.person(f"P{number}", email=f"p{number}@example.com", our_contact_id=colleague) for number in range(8)]
    webhook = link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=hook, secret=SECRET))
    registered = await campaign.link("Registered", actions=[*acting.actions, webhook])
    folder = await stubs.folders.CreateFolder(folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(name="Spring")))
    draft = script_pb2.Script(name="S", source="print(linkHits)")
    script = await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=draft, request_id=str(uuid7())))
    html = (
        f'<a href="trackedlink:{registered.id}">a</a><a href="https://example.com/{{{{ id }}}}">b</a><a href="https://example.com/c">c</a>'
        '<a href="trackedlink:unsubscribe">u</a><a href="trackedlink:manage-subscriptions">m</a><a href="trackedlink:view-online">o</a>'
    ).encode()
    other = await sent(campaign, person(people[1]), html, mailing_type_id=type_id)
    mailing_id = (await campaign.mailing(mailing_type_id=type_id)).id
    tracked = await campaign.track(mailing_id, html)
    mail = await to(campaign, tracked, mailing_id, person(people[0]))
    places = [each.placement.id for each in tracked.tracked if each.placement.kind == mailing_pb2.PLACEMENT_KIND_LINK]
    values = {"id": "7"}
    guest = mailing_pb2.Recipient(email="guest@example.org", merge_fields=values)
    recipients = [*(person(who, merge_fields=values) for who in people), guest]
    urls = [await minted_urls(campaign, mailing_id, recipient) for recipient in recipients]
    first = ""
    for token in [of[place].rpartition("/")[2] for place in places for of in urls] * 2:
        for method in ("GET", "HEAD"):
            request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token, evidence=click_pb2.Evidence(method=method))
            answer = await stubs.clicks.RecordClick(request)
            assert (await stubs.clicks.RecordClick(request)).duplicate
            first = first or answer.click.id
    await read(stubs, mailing_id, registered.id, people[0], first, made)
    calls: list[tuple[Any, Any]] = [
        (recipient_service_pb2.ViewOnlineRequest(token=mail.online[1:]), stubs.recipients.ViewOnline),
        (recipient_service_pb2.GetSubscriptionPageRequest(token=mail.manage[1:]), stubs.recipients.GetSubscriptionPage),
        (link_service_pb2.MoveLinksRequest(ids=[registered.id], folder_id=folder.id), stubs.links.MoveLinks),
        (link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=registered.id, name="New")), stubs.links.UpdateLink),
        (mailing_service_pb2.UpdateMailingRequest(mailing=mailing_pb2.Mailing(id=mailing_id, name="New")), stubs.mailings.UpdateMailing),
        (script_service_pb2.UpdateScriptRequest(script=script_pb2.Script(id=script.id, source="print(1)")), stubs.scripts.UpdateScript),
        (click_service_pb2.AddClickersRequest(link_id=registered.id, new_selection="A"), stubs.clicks.AddClickers),
        (click_service_pb2.AddClickersRequest(mailing_id=mailing_id, new_project="B"), stubs.clicks.AddClickers),
        (action_service_pb2.RetryActionRunsRequest(link_id=registered.id), stubs.actions.RetryActionRuns),
        (link_service_pb2.ResetLinkRequest(id=registered.id), stubs.links.ResetLink),
        (link_service_pb2.DeleteLinkRequest(id=registered.id), stubs.links.DeleteLink),
        (link_service_pb2.UndeleteLinkRequest(id=registered.id), stubs.links.UndeleteLink),
        (folder_service_pb2.DeleteFolderRequest(id=folder.id, force=True), stubs.folders.DeleteFolder),
        (mailing_service_pb2.DeleteMailingRequest(id=other.mailing_id), stubs.mailings.DeleteMailing),
        (embedded_crm_service_pb2.DeletePersonRequest(id=people[0]), stubs.embedded_crm.DeletePerson),
        (embedded_crm_service_pb2.DeleteCatalogEntryRequest(id=colleague), stubs.embedded_crm.DeleteCatalogEntry),
    ]
    for request, call in calls:
        await call(request)


async def swept(path: Path) -> None:
    """Returns when nothing is left of any reset."""
    with anyio.fail_after(20), contextlib.closing(sqlite3.connect(path)) as database:
        while database.execute("SELECT EXISTS (SELECT 1 FROM reset_remains)").fetchone() != (0,):
            await anyio.sleep(0.01)


async def read(stubs: Stubs, mailing_id: int, link_id: int, person_id: int, click_id: str, made: dict[str, int]) -> None:
    """Everything that can be listed and looked up, in each way."""
    who_tries = mailing_pb2.Recipient(person_id=person_id)
    subscriber = crm_service_pb2.Subscriber(person_id=person_id)
    clickers, clicks, runs = (
        click_service_pb2.ListClickersRequest,
        click_service_pb2.ListClicksRequest,
        action_service_pb2.ListActionRunsRequest,
    )
    ways: list[dict[str, Any]] = [{"link_id": link_id}, {"mailing_id": mailing_id}, {"link_id": link_id, "mailing_id": mailing_id}]
    for of in ways:
        page = await stubs.clicks.ListClickers(clickers(page_size=2, **of))
        assert page.next_page_token
        await stubs.clicks.ListClickers(clickers(page_size=2, page_token=page.next_page_token, **of))
        for verdict in click_pb2.Verdict.values():
            await stubs.clicks.ListClicks(clicks(verdict=verdict, **of))
        for state in click_pb2.ActionState.values():
            for who in (0, person_id):
                await stubs.actions.ListActionRuns(runs(state=state, person_id=who, **of))
    action_id = (await stubs.actions.ListActionRuns(runs(link_id=link_id))).action_runs[0].action_id
    calls: list[tuple[Any, Any]] = [
        (action_service_pb2.GetActionRunRequest(click_id=click_id, action_id=action_id), stubs.actions.GetActionRun),
        (action_service_pb2.ListReceiversRequest(), stubs.actions.ListReceivers),
        (
            action_service_pb2.TestActionsRequest(link_id=link_id, recipient=who_tries),
            stubs.actions.TestActions,
        ),
        (mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id), stubs.mailings.ListMailingLinks),
        (mailing_service_pb2.ListMailingsRequest(), stubs.mailings.ListMailings),
        (link_service_pb2.ListLinksRequest(), stubs.links.ListLinks),
        (link_service_pb2.ListLinksRequest(query="example", order_by="update_time desc"), stubs.links.ListLinks),
        (link_service_pb2.ListLinksRequest(folder_id=0, include_subfolders=True), stubs.links.ListLinks),
        (link_service_pb2.BatchGetLinksRequest(ids=[link_id]), stubs.links.BatchGetLinks),
        (folder_service_pb2.ListFoldersRequest(), stubs.folders.ListFolders),
        (script_service_pb2.ListScriptsRequest(), stubs.scripts.ListScripts),
        (crm_service_pb2.BatchGetPersonsRequest(ids=[person_id]), stubs.crm.BatchGetPersons),
        (crm_service_pb2.GetSubscriptionsRequest(subscribers=[subscriber]), stubs.crm.GetSubscriptions),
        (embedded_crm_service_pb2.ListPersonsRequest(), stubs.embedded_crm.ListPersons),
        (embedded_crm_service_pb2.ListPersonsRequest(member_of=made["selection"]), stubs.embedded_crm.ListPersons),
        (embedded_crm_service_pb2.ListFollowUpsRequest(person_id=person_id), stubs.embedded_crm.ListFollowUps),
        (embedded_crm_service_pb2.ListServiceRequestsRequest(), stubs.embedded_crm.ListServiceRequests),
        (embedded_crm_service_pb2.ListCatalogEntriesRequest(catalog=crm_pb2.CATALOG_USER), stubs.embedded_crm.ListCatalogEntries),
    ]
    for request, call in calls:
        await call(request)
