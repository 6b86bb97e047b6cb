"""AddClickers: the clickers of a link or mailing become members of a selection or project."""

from typing import Any

import grpc
import pytest
from uuid_utils import uuid4, uuid7

from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import click_service_pb2, link_service_pb2, mailing_pb2


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def clicked(campaign: Campaign, *recipients: mailing_pb2.Recipient) -> tuple[int, int]:
    """A link and a mailing that these recipients have clicked in."""
    link = await campaign.link()
    mailing_id, minted = await campaign.mail(f'<a href="trackedlink:{link.id}">x</a>'.encode(), recipients)
    for (url,) in minted:
        request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
        await campaign.stubs.clicks.RecordClick(request)
    return link.id, mailing_id


async def add(campaign: Campaign, **fields: Any) -> click_service_pb2.AddClickersResponse:
    response: click_service_pb2.AddClickersResponse = await campaign.stubs.clicks.AddClickers(
        click_service_pb2.AddClickersRequest(**fields)
    )
    return response


async def test_persons_are_added_once_and_the_others_are_reported(campaign: Campaign) -> None:
    selection = await campaign.entry("SELECTION", "Clicked")
    kari, ola = await campaign.person("Kari"), await campaign.person("Ola", selections=[{"id": selection}])
    link_id, _ = await clicked(campaign, person(kari), person(ola), person(999), mailing_pb2.Recipient(email="x@example.com"))
    first = await add(campaign, link_id=link_id, selection_id=selection)
    assert (first.target.name, first.added_count, first.present_count, first.skipped_count) == ("Clicked", 1, 1, 2)
    assert {(found.person_id, found.email) for found in first.skipped} == {(999, ""), (0, "x@example.com")}
    again = await add(campaign, link_id=link_id, selection_id=selection)
    assert (again.added_count, again.present_count, again.skipped_count) == (0, 2, 2)
    assert [found.name for found in (await campaign.card(kari)).selections] == ["Clicked"]


async def test_a_new_project_is_made_and_the_same_request_makes_no_second_one(campaign: Campaign) -> None:
    kari = await campaign.person("Kari")
    _, mailing_id = await clicked(campaign, person(kari))
    request = {"mailing_id": mailing_id, "new_project": "Spring", "request_id": str(uuid4())}
    first, again = await add(campaign, **request), await add(campaign, **request)
    assert first.target == again.target
    assert (first.added_count, again.added_count, again.present_count) == (1, 0, 1)
    assert [found.name for found in (await campaign.card(kari)).projects] == ["Spring"]
    taken = await refused(
        campaign.stubs.clicks.AddClickers(click_service_pb2.AddClickersRequest(mailing_id=mailing_id, new_project="SPRING"))
    )
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ENTRY_NAME_TAKEN")


async def test_only_clickers_since_the_last_reset_and_of_that_mailing_are_added(campaign: Campaign) -> None:
    kari, ola = await campaign.person("Kari"), await campaign.person("Ola")
    link_id, _ = await clicked(campaign, person(kari))
    await campaign.stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link_id))
    _, other_mailing = await clicked(campaign, person(ola))
    assert (await add(campaign, link_id=link_id, new_selection="Nobody")).added_count == 0
    assert (await add(campaign, link_id=link_id, mailing_id=other_mailing, new_selection="Nobody either")).added_count == 0
    assert (await add(campaign, mailing_id=other_mailing, new_selection="Ola")).added_count == 1


async def test_wrong_input_is_refused_with_every_violation(campaign: Campaign) -> None:
    link_id, _ = await clicked(campaign)
    project = await campaign.entry("PROJECT", "P")

    async def problem(**fields: Any) -> Any:
        return await refused(campaign.stubs.clicks.AddClickers(click_service_pb2.AddClickersRequest(**fields)))

    assert set((await problem(request_id="x")).fields) == {"link_id", "target", "request_id"}
    assert list((await problem(link_id=link_id, selection_id=-1)).fields) == ["selection_id"]
    assert list((await problem(link_id=link_id, new_selection="")).fields) == ["new_selection.name"]
    assert (await problem(link_id=404, selection_id=1)).reason == "LINK_NOT_FOUND"
    missing = await problem(link_id=link_id, selection_id=project)
    assert (missing.reason, list(missing.fields)) == ("REFERENCE_NOT_FOUND", ["selection_id"])
