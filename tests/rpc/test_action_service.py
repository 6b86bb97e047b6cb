"""ActionService: what became of actions, and what a click would make happen."""

import asyncio
from typing import Any

import grpc
import pytest
from uuid_utils import uuid7

from server.store.database import Database
from tests.support.campaign import Campaign, person
from tests.support.held import held
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import action_service_pb2, click_pb2, click_service_pb2, link_pb2, link_service_pb2, mailing_pb2

DONE, SKIPPED, FAILED = click_pb2.ACTION_STATE_DONE, click_pb2.ACTION_STATE_SKIPPED, click_pb2.ACTION_STATE_FAILED


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def acting_link(campaign: Campaign) -> link_pb2.Link:
    """A link with a follow-up for our contact, and with a service request, which is made once per mailing."""
    follow_up = link_pb2.CreateFollowUp(
        type=link_pb2.FOLLOW_UP_TYPE_TASK, description="Call {{recipient.name}}", assign_to_our_contact=True
    )
    actions = [
        link_pb2.LinkAction(follow_up=follow_up),
        link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes")),
        link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help {{recipient.name}}")),
    ]
    return await campaign.link(actions=actions)


async def click(campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient) -> str:
    url = await campaign.url(link_id, recipient)
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
    return str((await campaign.stubs.clicks.RecordClick(request)).click.id)


async def listed(campaign: Campaign, **fields: Any) -> list[Any]:
    """Every run, page by page."""
    found: list[Any] = []
    request = action_service_pb2.ListActionRunsRequest(page_size=2, **fields)
    while True:
        page = await campaign.stubs.actions.ListActionRuns(request)
        found += page.action_runs
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def trial(campaign: Campaign, **fields: Any) -> list[tuple[Any, ...]]:
    response = await campaign.stubs.actions.TestActions(action_service_pb2.TestActionsRequest(**fields))
    return [(each.state, each.reason, list(each.effects)) for each in response.actions]


async def test_runs_are_listed_by_link_person_and_state_and_each_can_be_had(campaign: Campaign) -> None:
    link, kari, ola = await acting_link(campaign), await campaign.person("Kari"), await campaign.person("Ola")
    first, second, third = [await click(campaign, link.id, person(who)) for who in (kari, kari, ola)]
    follow_up, field, request = [action.id for action in link.actions]
    found = [(run.click_id, run.action_id, run.recipient.name, run.state) for run in await listed(campaign, link_id=link.id)]
    assert found == [
        (third, request, "Ola", DONE),
        (third, field, "Ola", DONE),
        (third, follow_up, "Ola", FAILED),
        (second, request, "Kari", SKIPPED),
        (second, field, "Kari", DONE),
        (second, follow_up, "Kari", FAILED),
        (first, request, "Kari", DONE),
        (first, field, "Kari", DONE),
        (first, follow_up, "Kari", FAILED),
    ]
    assert {run.click_id for run in await listed(campaign, link_id=link.id, person_id=ola)} == {third}
    (skipped,) = await listed(campaign, link_id=link.id, state=SKIPPED)
    assert (skipped.action_id, skipped.reason) == (request, "Already done for this recipient")
    run = await campaign.stubs.actions.GetActionRun(action_service_pb2.GetActionRunRequest(click_id=first, action_id=follow_up))
    assert (run.link_id, run.reason) == (link.id, "The person has no our contact, and nobody else is named")


async def test_runs_from_before_a_reset_are_no_longer_listed_but_can_be_had_without_who_it_was(campaign: Campaign) -> None:
    link, kari = await acting_link(campaign), await campaign.person("Kari")
    before = await click(campaign, link.id, person(kari))
    await campaign.stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link.id))
    assert not await listed(campaign, link_id=link.id)
    request = action_service_pb2.GetActionRunRequest(click_id=before, action_id=link.actions[1].id)
    assert (await campaign.stubs.actions.GetActionRun(request)).state == DONE


async def test_a_trial_says_what_would_happen_and_makes_nothing_happen(campaign: Campaign, database: Database) -> None:
    user = await campaign.entry("USER", "Liv")
    link, kari = await acting_link(campaign), await campaign.person("Kari", our_contact_id=user)
    would = await trial(campaign, link_id=link.id, recipient=person(kari))
    assert [state for state, _, _ in would] == [DONE, DONE, DONE]
    assert would[0][2][0].startswith(f"make a task for user {user} at 20")
    assert would[0][2][0].endswith(": Call Kari")
    assert would[1:] == [(DONE, "", ["set 'clicked' to 'yes'"]), (DONE, "", ["make a service request owned by nobody: Help Kari"])]
    for table in ("click", "ledger", "action_run", "crm_follow_up", "crm_service_request", "crm_extra_field", "placement", "link_count"):
        statement = f"SELECT count(*) FROM {table}"
        assert database.read(lambda connection, text=statement: connection.exec_driver_sql(text).scalar_one()) == 0, table  # type: ignore[misc]
    await click(campaign, link.id, person(kari))
    again = await trial(campaign, link_id=link.id, recipient=person(kari))
    assert [(state, reason) for state, reason, _ in again] == [
        (SKIPPED, "Already done for this recipient"),
        (DONE, ""),
        (SKIPPED, "Already done for this recipient"),
    ]


async def test_a_trial_knows_every_kind_of_recipient(campaign: Campaign) -> None:
    link, kari = await acting_link(campaign), await campaign.person("Kari")

    async def reasons(recipient: mailing_pb2.Recipient) -> set[str]:
        return {reason for _, reason, _ in await trial(campaign, link_id=link.id, recipient=recipient)}

    assert await reasons(mailing_pb2.Recipient()) == {"The recipient is not a registered person"}
    assert await reasons(mailing_pb2.Recipient(email="x@example.com")) == {"The recipient is not a registered person"}
    assert await reasons(person(404)) == {"The CRM does not know this person"}
    assert await reasons(person(kari, test=True)) == {"The recipient is a test"}
    assert await reasons(person(kari, do_not_track=True)) == {"The recipient does not want to be tracked"}


async def test_wrong_input_is_refused_with_every_violation(campaign: Campaign) -> None:
    actions = campaign.stubs.actions
    wrong = await refused(actions.ListActionRuns(action_service_pb2.ListActionRunsRequest(person_id=-1, state=9, page_size=-1)))  # type: ignore[arg-type]
    assert set(wrong.fields) == {"link_id", "person_id", "state", "page_size"}
    wrong = await refused(actions.GetActionRun(action_service_pb2.GetActionRunRequest(click_id="x")))
    assert set(wrong.fields) == {"click_id", "action_id"}
    missing = await refused(actions.GetActionRun(action_service_pb2.GetActionRunRequest(click_id=str(uuid7()), action_id=1)))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "ACTION_RUN_NOT_FOUND")
    wrong = await refused(actions.TestActions(action_service_pb2.TestActionsRequest(mailing_id=-1, recipient={"email": "x"})))  # type: ignore[arg-type]
    assert set(wrong.fields) == {"link_id", "mailing_id", "recipient.email"}
    assert (await refused(actions.TestActions(action_service_pb2.TestActionsRequest(link_id=404)))).reason == "LINK_NOT_FOUND"
    link = await campaign.link()
    request = action_service_pb2.TestActionsRequest(link_id=link.id, mailing_id=404)
    assert (await refused(actions.TestActions(request))).reason == "MAILING_NOT_FOUND"


async def test_a_number_that_can_be_no_person_is_refused(campaign: Campaign) -> None:
    link = await campaign.link()
    for person_id in (-1, 2**62, 2**63 - 1):
        request = action_service_pb2.ListActionRunsRequest(link_id=link.id, person_id=person_id)
        assert list((await refused(campaign.stubs.actions.ListActionRuns(request))).fields) == ["person_id"], person_id
    assert await listed(campaign, link_id=link.id, person_id=2**62 - 1) == []


async def test_a_test_waits_for_nobody_who_writes(campaign: Campaign, database_url: str) -> None:
    link, kari = await acting_link(campaign), await campaign.person("Kari")
    mailing = await campaign.mailing()
    await click(campaign, link.id, person(kari))
    with held(database_url, ["link", "mailing", "placement", "last_change", "crm_person", "crm_entry", "ledger", "outbox", "action_run"]):
        async with asyncio.timeout(3):
            outside = await trial(campaign, link_id=link.id, recipient=person(kari))
            inside = await trial(campaign, link_id=link.id, mailing_id=mailing.id, recipient=person(kari))
    assert [state for state, *_ in outside] == [FAILED, DONE, SKIPPED]
    assert [state for state, *_ in inside] == [FAILED, DONE, DONE]
