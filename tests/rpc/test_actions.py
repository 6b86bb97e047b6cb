"""Each kind of action from the link to the CRM: a link is saved, a URL minted and clicked, and the CRM shows what happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from tests.support import crm
from tests.support.actions import every_kind, fields_of, follow_up, interests, service_request, set_field
from tests.support.crm import DONE
from tests.support.stubs import Stubs
from trackedlinks.v1 import crm_pb2, embedded_crm_service_pb2, link_pb2

MEMBERSHIPS = [
    ("interests", link_pb2.ChangeInterests, crm_pb2.CATALOG_INTEREST, "interests"),
    ("selection", link_pb2.ChangeSelections, crm_pb2.CATALOG_SELECTION, "selections"),
    ("project", link_pb2.ChangeProjects, crm_pb2.CATALOG_PROJECT, "projects"),
]


async def test_one_click_runs_actions_of_every_kind_and_answers_with_their_outcomes_in_the_links_order(stubs: Stubs) -> None:
    link, ids = await every_kind(stubs)
    person_id = await crm.person(stubs)
    response = await crm.click(stubs, await crm.mint(stubs, link.id, person_id=person_id))
    assert [outcome.action_id for outcome in response.click.actions] == [action.id for action in link.actions]
    assert {(outcome.state, outcome.reason) for outcome in response.click.actions} == {(DONE, "")}
    card = await crm.card(stubs, person_id)
    assert fields_of(card) == {"clicked": "yes"}
    assert [(found.id, found.name) for found in (*card.interests, *card.selections, *card.projects)] == [
        (ids[name], name) for name in ("interest", "selection", "project")
    ]
    for made in (await crm.follow_ups(stubs), await crm.service_requests(stubs)):
        assert [(found.person_id, found.click_id) for found in made] == [(person_id, response.click.id)]


async def test_set_field_fills_in_text_fields_and_leaves_what_it_does_not_know(stubs: Stubs) -> None:
    value = "{{recipient.name}}, {{link.name}}, {{mailing.name}}, {{click.time}}, {{unknown}}"
    link = await crm.link(stubs, set_field("seen", value), name="Spring & Co")
    mailing_id = await crm.mailing_with(stubs, "March", link.id)
    person_id = await crm.person(stubs, "Ola <Nordmann>")
    response = await crm.click(stubs, await crm.mint(stubs, link.id, mailing_id, person_id=person_id))
    time = datetime.fromtimestamp(uuid_seconds(response.click.id), UTC).strftime("%Y-%m-%d %H:%M UTC")
    assert fields_of(await crm.card(stubs, person_id)) == {"seen": f"Ola <Nordmann>, Spring & Co, March, {time}, {{{{unknown}}}}"}
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")]
    assert ", Spring & Co, , " in fields_of(await crm.card(stubs, person_id))["seen"]


async def test_of_two_values_for_one_field_the_last_stands_and_an_empty_one_clears_it(stubs: Stubs) -> None:
    person_id = await crm.person(stubs, extra_fields={"size": "40", "other": "kept"})
    for values, left in ((("41", "42"), "42"), (("42", "41"), "41"), (("", "43"), "43"), (("44", ""), None), (("", ""), None)):
        link = await crm.link(stubs, *(set_field("size", value) for value in values))
        assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")] * 2
        assert fields_of(await crm.card(stubs, person_id)) == {"other": "kept"} | ({"size": left} if left else {})


@pytest.mark.parametrize(("member", "kind", "catalog", "field"), MEMBERSHIPS)
async def test_adding_twice_is_one_membership_and_removing_what_is_not_there_is_no_error(
    stubs: Stubs, member: str, kind: Any, catalog: Any, field: str
) -> None:
    kept, added, removed = [await crm.entry(stubs, catalog, name) for name in ("kept", "added", "removed")]
    memberships: dict[str, Any] = {field: crm.references(kept, removed)}
    person_id = await crm.person(stubs, **memberships)
    link = await crm.link(stubs, *(link_pb2.LinkAction(**{member: kind(add=[added, kept, added], remove=[removed])}) for _ in range(2)))
    for _ in range(2):
        assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")] * 2
        assert [found.id for found in getattr(await crm.card(stubs, person_id), field)] == [kept, added]


async def test_of_an_action_that_adds_and_one_that_removes_the_last_one_stands(stubs: Stubs) -> None:
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    person_id = await crm.person(stubs)
    add, remove = interests(add=[interest]), interests(remove=[interest])
    for actions, left in (((remove, add), [interest]), ((add, remove), [])):
        assert await crm.outcomes(stubs, await crm.link(stubs, *actions), person_id=person_id) == [(DONE, "")] * 2
        assert [found.id for found in (await crm.card(stubs, person_id)).interests] == left


async def test_stop_this_newsletter_removes_the_interest_and_adds_to_the_selection(stubs: Stubs) -> None:
    newsletter = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Newsletter")
    cancelled = await crm.entry(stubs, crm_pb2.CATALOG_SELECTION, "Cancelled")
    person_id = await crm.person(stubs, interests=crm.references(newsletter))
    join = link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[cancelled]))
    link = await crm.link(stubs, interests(remove=[newsletter]), join)
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")] * 2
    card = await crm.card(stubs, person_id)
    assert ([found.id for found in card.interests], [found.id for found in card.selections]) == ([], [cancelled])


async def test_a_follow_up_has_all_that_the_action_says(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    task_type = await crm.entry(stubs, crm_pb2.CATALOG_TASK_TYPE, "Sale")
    project = await crm.entry(stubs, crm_pb2.CATALOG_PROJECT, "Campaign")
    start = timestamp_pb2.Timestamp(seconds=1_900_000_000, nanos=5_000_000)
    said: dict[str, Any] = {
        "type": link_pb2.FOLLOW_UP_TYPE_APPOINTMENT,
        "task_type_id": task_type,
        "project_id": project,
        "created_by": user,
    }
    said |= {"duration": 10_080, "start_time": start, "as_assignment": True}
    link = await crm.link(stubs, follow_up(description="Meet {{recipient.name}}\nabout {{link.name}}", **said))
    person_id = await crm.person(stubs)
    response = await crm.click(stubs, await crm.mint(stubs, link.id, person_id=person_id))
    (made,) = await crm.follow_ups(stubs, person_id)
    assert made == crm_pb2.FollowUp(
        id=made.id,
        person_id=person_id,
        description="Meet Ola Nordmann\nabout Spring",
        assigned_to=user,
        click_id=response.click.id,
        create_time=response.click.time,
        **said,
    )


async def test_a_follow_up_without_a_start_starts_at_the_next_full_quarter_after_the_click(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    link = await crm.link(stubs, follow_up(created_by=user))
    response = await crm.click(stubs, await crm.mint(stubs, link.id, person_id=await crm.person(stubs)))
    clicked = datetime.fromtimestamp(uuid_seconds(response.click.id), UTC)
    (made,) = await crm.follow_ups(stubs)
    start = made.start_time.ToDatetime(tzinfo=UTC)
    assert timedelta(0) < start - clicked <= timedelta(minutes=15)
    assert (start.minute % 15, start.second, start.microsecond) == (0, 0, 0)
    assert made.create_time.ToDatetime(tzinfo=UTC) == clicked


@pytest.mark.parametrize(
    ("ours", "fallback", "maker", "gets_it"),
    [(True, True, True, "ours"), (False, True, True, "fallback"), (False, False, True, "maker"), (True, False, False, "ours")],
)
async def test_a_follow_up_for_our_contact_falls_back_to_the_default_recipient_and_then_to_its_maker(
    stubs: Stubs, ours: bool, fallback: bool, maker: bool, gets_it: str
) -> None:
    users = {name: await crm.entry(stubs, crm_pb2.CATALOG_USER, name) for name in ("ours", "fallback", "maker")}
    said = {"default_recipient": users["fallback"] if fallback else 0, "created_by": users["maker"] if maker else 0}
    link = await crm.link(stubs, follow_up(assign_to_our_contact=True, **said))
    person_id = await crm.person(stubs, our_contact_id=users["ours"] if ours else 0)
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")]
    (made,) = await crm.follow_ups(stubs)
    assert (made.assigned_to, made.created_by) == (users[gets_it], said["created_by"])


async def test_a_follow_up_falls_back_when_our_contact_has_left(stubs: Stubs) -> None:
    left, fallback = [await crm.entry(stubs, crm_pb2.CATALOG_USER, name) for name in ("Kari", "Liv")]
    link = await crm.link(stubs, follow_up(assign_to_our_contact=True, default_recipient=fallback))
    person_id = await crm.person(stubs, our_contact_id=left)
    await crm.delete_entry(stubs, left)
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")]
    assert (await crm.follow_ups(stubs))[0].assigned_to == fallback


@pytest.mark.parametrize(
    ("owner", "ours", "owned_by"),
    [
        (link_pb2.SERVICE_REQUEST_OWNER_USER, True, "owner"),
        (link_pb2.SERVICE_REQUEST_OWNER_AUTOMATIC, True, "ours"),
        (link_pb2.SERVICE_REQUEST_OWNER_AUTOMATIC, False, ""),
        (link_pb2.SERVICE_REQUEST_OWNER_UNASSIGNED, True, ""),
        (link_pb2.SERVICE_REQUEST_OWNER_UNSPECIFIED, True, ""),
    ],
)
async def test_a_service_request_is_owned_as_the_action_says(stubs: Stubs, owner: Any, ours: bool, owned_by: str) -> None:
    users = {name: await crm.entry(stubs, crm_pb2.CATALOG_USER, name) for name in ("owner", "ours")}
    priority = await crm.entry(stubs, crm_pb2.CATALOG_PRIORITY, "High")
    category = await crm.entry(stubs, crm_pb2.CATALOG_CATEGORY, "Consultant")
    owner_id = users["owner"] if owner == link_pb2.SERVICE_REQUEST_OWNER_USER else 0
    said = {"priority_id": priority, "category_id": category, "owner": owner, "owner_id": owner_id}
    link = await crm.link(stubs, service_request(title="{{recipient.name}} wants a consultant", **said))
    person_id = await crm.person(stubs, our_contact_id=users["ours"] if ours else 0)
    response = await crm.click(stubs, await crm.mint(stubs, link.id, person_id=person_id))
    (made,) = await crm.service_requests(stubs, person_id)
    assert made == crm_pb2.ServiceRequest(
        id=made.id,
        person_id=person_id,
        title="Ola Nordmann wants a consultant",
        priority_id=priority,
        category_id=category,
        owner_id=users.get(owned_by, 0),
        origin="marketing link",
        click_id=response.click.id,
        create_time=response.click.time,
    )


async def test_texts_are_cut_to_their_limits_after_they_are_filled_in(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    names = "{{recipient.name}}" * 14
    link = await crm.link(stubs, set_field("a", names), follow_up(created_by=user, description=names), service_request(title=names))
    person_id = await crm.person(stubs, "æ" * 255)
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")] * 3
    assert fields_of(await crm.card(stubs, person_id)) == {"a": "æ" * 2047}
    assert (await crm.follow_ups(stubs))[0].description == "æ" * 2047
    assert (await crm.service_requests(stubs))[0].title == "æ" * 255


async def test_an_interest_shows_over_the_mailings_in_which_a_link_stands(stubs: Stubs) -> None:
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    link = await crm.link(stubs, interests(add=[interest]))
    persons = [await crm.person(stubs, name) for name in ("Ola", "Liv", "Per")]
    for name, person_id in zip(("March", "April", "May"), persons, strict=True):
        assert await crm.outcomes(stubs, link, await crm.mailing_with(stubs, name, link.id), person_id=person_id) == [(DONE, "")]
    members = await stubs.embedded_crm.ListPersons(embedded_crm_service_pb2.ListPersonsRequest(member_of=interest))
    assert [found.id for found in members.persons] == persons


def uuid_seconds(click_id: str) -> float:
    """The time in a UUIDv7, in seconds since 1970."""
    return int(click_id.replace("-", "")[:12], 16) / 1000
