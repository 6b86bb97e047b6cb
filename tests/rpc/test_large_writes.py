"""Writes that go in slices: what they make is what one transaction would have made, also when they come twice at once."""

import asyncio
from typing import Any

import grpc
import pytest
from sqlalchemy import Connection
from uuid_utils import uuid4

from server.store.database import Database
from server.store.requests import MOST_REMOVED
from server.store.sql import Statements
from tests.support import actions
from tests.support.campaign import Campaign
from tests.support.resources import link_draft
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import link_service_pb2, mailing_service_pb2

URLS = [f"https://example.com/{number % 300}" for number in range(450)]
"""Of a message: some stand there twice. Several slices."""


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def links_of(stubs: Stubs, mailing_id: int) -> list[Any]:
    request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id, page_size=1000)
    return list((await stubs.mailings.ListMailingLinks(request)).links)


async def test_a_message_that_is_tracked_by_several_at_once_has_one_link_for_each_url(campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    html = "".join(f'<a href="{url}">x</a>' for url in URLS).encode()
    first, *others = await asyncio.gather(*(campaign.track(mailing.id, html) for _ in range(3)))
    assert [each.placement.url for each in first.tracked] == URLS
    for other in others:
        assert [each.placement for each in other.tracked] == [each.placement for each in first.tracked]
    found = await links_of(campaign.stubs, mailing.id)
    assert sorted(each.link.redirect.url for each in found) == sorted(set(URLS))
    assert sum(len(each.placements) for each in found) == len(URLS)


async def test_a_large_batch_is_all_or_none_and_is_made_once(campaign: Campaign) -> None:
    drafts = [link_draft(f"L{number}", actions=[actions.set_field(f"f{each}", "v") for each in range(20)]) for number in range(60)]
    request = link_service_pb2.BatchCreateLinksRequest(links=drafts, request_id=str(uuid4()))
    one, other = await asyncio.gather(*(campaign.stubs.links.BatchCreateLinks(request) for _ in range(2)))
    assert one == other
    assert [link.name for link in one.links] == [draft.name for draft in drafts]
    ids = [action.id for link in one.links for action in link.actions]
    assert len(set(ids)) == 60 * 20
    assert [action.set_field.field for action in one.links[-1].actions] == [f"f{each}" for each in range(20)]
    drafts[-1].folder_id = 99
    wrong = await refused(campaign.stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=drafts)))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND")
    listed = await campaign.stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))
    assert len(listed.links) == 60


async def test_a_request_id_of_yesterday_may_be_used_again_however_many_there_were(campaign: Campaign, database_url: str) -> None:
    yesterdays = [str(uuid4()) for _ in range(MOST_REMOVED + 2)]

    def fill(connection: Connection) -> None:
        rows = [(each, bytes(16), "[1]", number) for number, each in enumerate(yesterdays)]
        Statements(connection).each("INSERT INTO request (id, digest, resource_ids, create_time) VALUES (?, ?, ?, ?)", rows)

    database = Database(database_url)
    database.write(fill)
    database.close()
    request = link_service_pb2.CreateLinkRequest(link=link_draft("Again"), request_id=yesterdays[-1])
    made = await campaign.stubs.links.CreateLink(request)
    assert made.name == "Again"
    assert await campaign.stubs.links.CreateLink(request) == made
