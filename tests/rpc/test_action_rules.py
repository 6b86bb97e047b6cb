"""When actions run: repeat policies, who is skipped and why, what fails alone, and which clicks run none."""

from typing import Any

import pytest
from uuid_utils import uuid7

from tests.support import crm
from tests.support.actions import EVERY, IN_MAILING, ONCE, every_kind, fields_of, follow_up, interests, service_request, set_field
from tests.support.crm import DONE, FAILED, SKIPPED
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_pb2, click_service_pb2, crm_pb2, embedded_crm_service_pb2, link_pb2, link_service_pb2

NO_PERSON = (SKIPPED, "The recipient is not a registered person")
UNKNOWN_PERSON = (SKIPPED, "The CRM does not know this person")
DONE_BEFORE = (SKIPPED, "Already done for this recipient")
DONE_IN_MAILING = (SKIPPED, "Already done for this recipient in this mailing")
DO_NOT_TRACK = (SKIPPED, "The recipient does not want to be tracked")


async def untouched(stubs: Stubs, person_id: int) -> bool:
    """Whether no action has changed the card or made anything."""
    card = await crm.card(stubs, person_id)
    bare = not (card.extra_fields or card.interests or card.selections or card.projects)
    return bare and not await crm.follow_ups(stubs) and not await crm.service_requests(stubs)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (EVERY, [(DONE, "")] * 4),
        (ONCE, [(DONE, ""), DONE_BEFORE, DONE_BEFORE, DONE_BEFORE]),
        (IN_MAILING, [(DONE, ""), DONE_IN_MAILING, (DONE, ""), DONE_IN_MAILING]),
        (0, [(DONE, ""), DONE_IN_MAILING, (DONE, ""), DONE_IN_MAILING]),
    ],
)
async def test_an_action_is_repeated_as_its_policy_says_in_two_mailings_and_for_each_recipient(
    stubs: Stubs, policy: Any, expected: list[Any]
) -> None:
    link = await crm.link(stubs, service_request(policy))
    mailings = [await crm.mailing_with(stubs, name, link.id) for name in ("March", "April")]
    persons = [await crm.person(stubs, name) for name in ("Ola", "Liv")]
    for person_id in persons:
        found = [await crm.outcomes(stubs, link, mailing, person_id=person_id) for mailing in mailings for _ in range(2)]
        assert found == [[outcome] for outcome in expected]
        assert len(await crm.service_requests(stubs, person_id)) == expected.count((DONE, ""))


@pytest.mark.parametrize("policy", [ONCE, IN_MAILING])
async def test_a_once_action_outside_a_mailing_runs_once_there(stubs: Stubs, policy: Any) -> None:
    link = await crm.link(stubs, set_field("a", "{{click.time}}", policy), service_request(policy))
    person_id = await crm.person(stubs)
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")] * 2
    assert await crm.outcomes(stubs, link, person_id=person_id) == [DONE_BEFORE] * 2
    assert len(await crm.service_requests(stubs)) == 1


async def test_actions_are_skipped_for_an_address_for_nobody_and_for_a_person_the_crm_does_not_know(stubs: Stubs) -> None:
    link, _ = await every_kind(stubs)
    known, gone = await crm.person(stubs, email="ola@example.com"), await crm.person(stubs)
    token = await crm.mint(stubs, link.id, person_id=gone)
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=gone))
    assert await crm.outcomes(stubs, link, email="liv@example.com") == [NO_PERSON] * 6
    assert await crm.outcomes(stubs, link) == [NO_PERSON] * 6
    assert await crm.outcomes(stubs, link, person_id=2**62 - 1) == [UNKNOWN_PERSON] * 6
    response = await crm.click(stubs, token)
    assert [(outcome.state, outcome.reason) for outcome in response.click.actions] == [UNKNOWN_PERSON] * 6
    assert response.location == "https://example.com/"
    assert await untouched(stubs, known)
    counts = (await stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link.id))).counts
    assert (counts.clicks, counts.clickers) == (4, 3)


async def test_an_action_that_names_a_deleted_entry_fails_and_says_so_and_the_others_are_done(stubs: Stubs) -> None:
    staying, going = [await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, name) for name in ("Skiing", "Sailing")]
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    link = await crm.link(
        stubs,
        set_field("a", "1"),
        interests(add=[staying, going]),
        interests(add=[staying]),
        follow_up(created_by=user),
        set_field("b", "2"),
    )
    person_id = await crm.person(stubs)
    for entry_id in (going, user):
        await crm.delete_entry(stubs, entry_id)
    response = await crm.click(stubs, await crm.mint(stubs, link.id, person_id=person_id))
    assert response.location == "https://example.com/"
    assert [(outcome.state, outcome.reason) for outcome in response.click.actions] == [
        (DONE, ""),
        (FAILED, f"No longer in the CRM: interest {going}"),
        (DONE, ""),
        (FAILED, f"No longer in the CRM: user {user}"),
        (DONE, ""),
    ]
    card = await crm.card(stubs, person_id)
    assert (fields_of(card), [found.id for found in card.interests]) == ({"a": "1", "b": "2"}, [staying])
    assert await crm.follow_ups(stubs) == []


async def test_an_action_that_failed_or_was_skipped_has_not_used_up_its_once(stubs: Stubs) -> None:
    leaving, staying = [await crm.entry(stubs, crm_pb2.CATALOG_USER, name) for name in ("Kari", "Liv")]
    link = await crm.link(stubs, follow_up(ONCE, created_by=leaving))
    person_id = await crm.person(stubs)
    await crm.delete_entry(stubs, leaving)
    assert [state for state, _ in await crm.outcomes(stubs, link, person_id=person_id)] == [FAILED]
    mended = link_pb2.Link(id=link.id, actions=link.actions)
    mended.actions[0].follow_up.created_by = staying
    changed = await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=mended))
    assert [action.id for action in changed.actions] == [action.id for action in link.actions]
    assert await crm.outcomes(stubs, link, person_id=person_id) == [(DONE, "")]
    assert await crm.outcomes(stubs, link, person_id=person_id) == [DONE_BEFORE]


@pytest.mark.parametrize(
    ("recipient", "evidence", "verdict"),
    [
        ({"test": True}, {}, click_pb2.VERDICT_HUMAN),
        ({}, {"method": "HEAD"}, click_pb2.VERDICT_HEAD),
        ({}, {"prefetch": True}, click_pb2.VERDICT_PREFETCH),
    ],
)
async def test_a_test_click_and_a_machines_click_run_no_actions_and_use_up_no_once(
    stubs: Stubs, recipient: dict[str, Any], evidence: dict[str, Any], verdict: Any
) -> None:
    link, _ = await every_kind(stubs)
    once = await crm.link(stubs, service_request(ONCE))
    person_id = await crm.person(stubs)
    for clicked in (link, once):
        response = await crm.click(stubs, await crm.mint(stubs, clicked.id, person_id=person_id, **recipient), **evidence)
        assert (response.click.verdict, list(response.click.actions)) == (verdict, [])
        assert response.location == "https://example.com/"
    assert await untouched(stubs, person_id)
    assert await crm.outcomes(stubs, once, person_id=person_id) == [(DONE, "")]


async def test_a_do_not_track_recipient_is_let_leave_and_nothing_else_happens_however_often(stubs: Stubs) -> None:
    interest, other = [await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, name) for name in ("Skiing", "Sailing")]
    selection = await crm.entry(stubs, crm_pb2.CATALOG_SELECTION, "Customers")
    project = await crm.entry(stubs, crm_pb2.CATALOG_PROJECT, "Campaign")
    link = await crm.link(
        stubs,
        link_pb2.LinkAction(repeat_policy=ONCE, interests=link_pb2.ChangeInterests(add=[other], remove=[interest])),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(remove=[selection])),
        link_pb2.LinkAction(project=link_pb2.ChangeProjects(remove=[project])),
        interests(add=[other]),
        set_field("a", "b"),
        service_request(),
    )
    memberships: dict[str, Any] = {
        "interests": crm.references(interest),
        "selections": crm.references(selection),
        "projects": crm.references(project),
    }
    person_id = await crm.person(stubs, **memberships)
    for _ in range(2):
        assert await crm.outcomes(stubs, link, person_id=person_id, do_not_track=True) == [(DONE, "")] * 3 + [DO_NOT_TRACK] * 3
    assert await untouched(stubs, person_id)
    assert [state for state, _ in await crm.outcomes(stubs, link, person_id=person_id)] == [DONE] * 6


async def test_the_same_click_again_runs_nothing_again(stubs: Stubs) -> None:
    link, _ = await every_kind(stubs)
    person_id = await crm.person(stubs)
    token, click_id = await crm.mint(stubs, link.id, person_id=person_id), str(uuid7())
    first = await crm.click(stubs, token, click_id)
    again = await crm.click(stubs, token, click_id)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert len(await crm.follow_ups(stubs)) == len(await crm.service_requests(stubs)) == 1


async def test_a_click_sent_again_has_the_outcomes_of_the_first_time(stubs: Stubs) -> None:
    link = await crm.link(stubs, set_field("a", "b"), service_request(ONCE))
    token = await crm.mint(stubs, link.id, person_id=await crm.person(stubs))
    await crm.click(stubs, token)
    click_id = str(uuid7())
    first = await crm.click(stubs, token, click_id)
    assert [(outcome.state, outcome.reason) for outcome in first.click.actions] == [(DONE, ""), DONE_BEFORE]
    assert (await crm.click(stubs, token, click_id)).click == first.click


async def test_clicks_of_one_recipient_in_one_batch_are_run_one_after_the_other(stubs: Stubs) -> None:
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    adding = await crm.link(stubs, interests(add=[interest]), set_field("last", "{{link.name}}"), service_request(ONCE), name="adding")
    removing = await crm.link(stubs, interests(remove=[interest]), set_field("last", "{{link.name}}"), name="removing")
    person_id = await crm.person(stubs)
    tokens = {link.name: await crm.mint(stubs, link.id, person_id=person_id) for link in (adding, removing)}
    for order, left in ((("adding", "adding", "removing"), []), (("removing", "adding", "adding"), [interest])):
        clicks = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=tokens[name]) for name in order]
        stream = stubs.clicks.RecordClicks()
        await stream.write(click_service_pb2.RecordClicksRequest(clicks=clicks))
        await stream.done_writing()
        committed = [click_id async for response in stream for click_id in response.committed]
        assert committed == [click.click_id for click in clicks]
        card = await crm.card(stubs, person_id)
        assert ([found.id for found in card.interests], fields_of(card)) == (left, {"last": order[-1]})
    assert len(await crm.service_requests(stubs)) == 1


async def test_actions_added_to_a_link_run_for_urls_that_are_already_out(stubs: Stubs) -> None:
    link = await crm.link(stubs)
    person_id = await crm.person(stubs)
    token = await crm.mint(stubs, link.id, person_id=person_id)
    assert not (await crm.click(stubs, token)).click.actions
    change = link_pb2.Link(id=link.id, actions=[set_field("a", "b")])
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert [outcome.state for outcome in (await crm.click(stubs, token)).click.actions] == [DONE]
    assert fields_of(await crm.card(stubs, person_id)) == {"a": "b"}
