"""Clicks where the CRM is another team's: everything that happens to persons happens there, once, and in its order."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.other_crm import OtherCrm
from tests.support.server import serving
from tests.support.stubs import refused
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    click_service_pb2,
    crm_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    script_pb2,
    script_service_pb2,
)

DONE, SKIPPED, FAILED = click_pb2.ACTION_STATE_DONE, click_pb2.ACTION_STATE_SKIPPED, click_pb2.ACTION_STATE_FAILED
WAITING, RETRYING = click_pb2.ACTION_STATE_WAITING, click_pb2.ACTION_STATE_RETRYING
LIV, TOUR, SPRING, SKIING, TOURS, HIGH, NEWSLETTER, CALL_BACK = range(1, 9)
KARI, OLA, AASE = 1, 2, 3


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[OtherCrm]:
    opened = OtherCrm(tmp_path)
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
async def campaign(database_url: str, tmp_path: Path, crm: OtherCrm, anyio_backend: str) -> AsyncIterator[Campaign]:
    async with serving(database_url, tmp_path, crm=crm.setting, outside_wait=5, retry_seconds=[0.05] * 400) as stubs:
        yield Campaign(stubs)


async def click(campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient) -> Any:
    url = await campaign.url(link_id, recipient)
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
    return await campaign.stubs.clicks.RecordClick(request)


async def runs(campaign: Campaign, link_id: int) -> list[Any]:
    """Runs of the last click first, of one click in the order of its actions."""
    request = action_service_pb2.ListActionRunsRequest(link_id=link_id, page_size=1000)
    found = (await campaign.stubs.actions.ListActionRuns(request)).action_runs
    oldest_first = list(found)[::-1]
    return sorted(oldest_first, key=lambda run: str(run.click_id), reverse=True)


async def until(campaign: Campaign, link_id: int, *states: int) -> list[Any]:
    """The runs once these are what has become of them."""
    with anyio.fail_after(30):
        while True:
            found = await runs(campaign, link_id)
            if [run.state for run in found] == list(states):
                return found
            await anyio.sleep(0.02)


def every_kind() -> list[link_pb2.LinkAction]:
    follow_up = link_pb2.CreateFollowUp(
        type=link_pb2.FOLLOW_UP_TYPE_PHONE_CALL,
        description="Call {{recipient.name}}",
        task_type_id=CALL_BACK,
        project_id=SPRING,
        assign_to_our_contact=True,
        default_recipient=LIV,
    )
    request = link_pb2.CreateServiceRequest(
        title="Help {{recipient.name}}", category_id=TOURS, priority_id=HIGH, owner=link_pb2.SERVICE_REQUEST_OWNER_AUTOMATIC
    )
    return [
        link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="{{link.name}} by {{recipient.name}}")),
        link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[SKIING])),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[TOUR])),
        link_pb2.LinkAction(project=link_pb2.ChangeProjects(add=[SPRING])),
        link_pb2.LinkAction(follow_up=follow_up),
        link_pb2.LinkAction(service_request=request),
    ]


async def test_every_kind_happens_in_the_other_crm_before_the_recipient_goes_on(campaign: Campaign, crm: OtherCrm) -> None:
    link = await campaign.link(name="Offer", actions=every_kind())
    answer = await click(campaign, link.id, person(KARI))
    assert answer.location == "https://example.com/"
    assert crm.rows("SELECT field, value FROM extra_field WHERE person_id = ?", [KARI]) == [("clicked", "Offer by Kari Nordmann")]
    assert crm.rows("SELECT entry_id FROM member WHERE person_id = ? ORDER BY 1", [KARI]) == [(TOUR,), (SPRING,), (SKIING,)]
    (follow_up,) = crm.rows("SELECT person_id, description, task_type_id, project_id, assigned_to, click_id FROM follow_up")
    assert follow_up == (KARI, "Call Kari Nordmann", CALL_BACK, SPRING, LIV, answer.click.id)
    (request,) = crm.rows("SELECT person_id, title, category_id, priority_id, owner_id, origin, click_id FROM service_request")
    assert request == (KARI, "Help Kari Nordmann", TOURS, HIGH, LIV, "marketing link", answer.click.id)
    assert [(run.state, run.attempts) for run in await runs(campaign, link.id)] == [(DONE, 1)] * 6


async def test_what_the_crm_does_not_know_is_skipped_and_what_it_refuses_failed(campaign: Campaign, crm: OtherCrm) -> None:
    actions = [
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[TOUR])),
        link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes")),
    ]
    link = await campaign.link(actions=actions)
    await click(campaign, link.id, person(99))
    assert [(run.state, run.reason) for run in await runs(campaign, link.id)] == [(SKIPPED, "The CRM does not know this person")] * 2
    await click(campaign, link.id, mailing_pb2.Recipient(email="nobody@example.com"))
    assert {run.reason for run in (await runs(campaign, link.id))[:2]} == {"The recipient is not a registered person"}
    crm.write("DELETE FROM entry WHERE id = ?", [TOUR])
    await click(campaign, link.id, person(OLA))
    told = [(run.state, run.reason) for run in (await runs(campaign, link.id))[:2]]
    assert told == [(FAILED, f"No longer in the CRM: selection {TOUR}"), (DONE, "")]


async def test_what_was_skipped_or_failed_may_happen_at_the_next_click(campaign: Campaign, crm: OtherCrm) -> None:
    request = link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help"))
    link = await campaign.link(actions=[request])
    await click(campaign, link.id, person(4))
    crm.write("INSERT INTO person (id, name, email, our_contact_id) VALUES (4, 'New', '', 0)")
    await click(campaign, link.id, person(4))
    await click(campaign, link.id, person(4))
    assert [run.state for run in await runs(campaign, link.id)] == [SKIPPED, DONE, SKIPPED]
    assert len(crm.rows("SELECT 1 FROM service_request")) == 1


async def test_while_the_crm_is_away_recipients_go_on_and_it_happens_later_in_order(campaign: Campaign, crm: OtherCrm) -> None:
    values = [link_pb2.LinkAction(set_field=link_pb2.SetField(field="step", value=str(number))) for number in range(5)]
    link = await campaign.link(actions=[*values, *every_kind()[4:]])
    crm.kill()
    for _ in range(12):
        assert (await click(campaign, link.id, person(KARI))).location == "https://example.com/"
    assert {run.state for run in await runs(campaign, link.id)} <= {WAITING, RETRYING, SKIPPED}
    crm.start()
    per_click = [DONE] * 5
    await until(campaign, link.id, *([*per_click, SKIPPED, SKIPPED] * 11), *per_click, DONE, DONE)
    assert crm.rows("SELECT value FROM extra_field WHERE field = 'step'") == [("4",)]
    assert len(crm.rows("SELECT 1 FROM follow_up")) == len(crm.rows("SELECT 1 FROM service_request")) == 1


async def test_forms_texts_and_scripts_know_the_person_of_the_other_crm(campaign: Campaign, crm: OtherCrm) -> None:
    crm.write("INSERT INTO extra_field VALUES (?, 'city', 'Bodø')", [KARI])
    form = link_pb2.Form(url="https://example.com/f?n={{recipient.name}}&e={{recipient.email}}&c={{field.city}}")
    draft = link_pb2.Link(name="Form", form=form)
    to_form = await campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    assert (await click(campaign, to_form.id, person(KARI))).location == (
        "https://example.com/f?n=Kari%20Nordmann&e=kari%40example.com&c=Bod%C3%B8"
    )
    to_text = await campaign.link(text="<p>Hello {{recipient.name}}</p>")
    assert "Hello Kari Nordmann" in (await click(campaign, to_text.id, person(KARI))).page.html
    source = 'returnUrl = "https://example.org/" + recipient["extra_fields"]["city"] + str(custId)'
    made = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="City", source=source))
    script_id = (await campaign.stubs.scripts.CreateScript(made)).id
    scripted = await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script_id))])
    assert (await click(campaign, scripted.id, person(KARI))).location == f"https://example.org/Bod%C3%B8{KARI}"
    crm.kill()
    assert (await click(campaign, to_form.id, person(OLA))).location == "https://example.com/f?n=&e=&c="
    crm.start()


async def test_links_and_dry_runs_ask_the_other_crm(campaign: Campaign, crm: OtherCrm) -> None:
    draft = link_pb2.Link(name="x", redirect=link_pb2.Redirect(url="https://example.com/"))
    draft.actions.add(selection=link_pb2.ChangeSelections(add=[99]))
    create = campaign.stubs.links.CreateLink
    failure = await refused(create(link_service_pb2.CreateLinkRequest(link=draft)))
    assert (failure.reason, list(failure.fields)) == ("REFERENCE_NOT_FOUND", ["link.actions[0].selection.add[0]"])
    link = await campaign.link(actions=every_kind()[:1])
    test = campaign.stubs.actions.TestActions
    asked = action_service_pb2.TestActionsRequest(link_id=link.id, recipient=person(KARI))
    (tested,) = (await test(asked)).actions
    assert (tested.state, list(tested.effects)) == (WAITING, ["set 'clicked' to 'Link by Kari Nordmann'"])
    (tested,) = (await test(action_service_pb2.TestActionsRequest(link_id=link.id, recipient=person(99)))).actions
    assert (tested.state, tested.reason) == (SKIPPED, "The CRM does not know this person")
    crm.kill()
    assert (await refused(create(link_service_pb2.CreateLinkRequest(link=draft)))).reason == "CRM_UNAVAILABLE"
    assert (await refused(test(asked))).reason == "CRM_UNAVAILABLE"
    crm.start()


async def test_clickers_are_added_to_what_is_in_the_other_crm(campaign: Campaign, crm: OtherCrm) -> None:
    link = await campaign.link()
    for who in (person(KARI), person(OLA), person(99), mailing_pb2.Recipient(email="a@example.com")):
        await click(campaign, link.id, who)
    crm.write("INSERT INTO member VALUES (?, ?)", [OLA, TOUR])
    add = campaign.stubs.clicks.AddClickers
    added = await add(click_service_pb2.AddClickersRequest(link_id=link.id, selection_id=TOUR))
    assert (added.added_count, added.present_count, added.skipped_count) == (1, 1, 2)
    assert len(added.skipped) == 2
    assert crm.rows("SELECT person_id FROM member WHERE entry_id = ? ORDER BY 1", [TOUR]) == [(KARI,), (OLA,)]
    again = await add(click_service_pb2.AddClickersRequest(link_id=link.id, selection_id=TOUR))
    assert (again.added_count, again.present_count) == (0, 2)
    failure = await refused(add(click_service_pb2.AddClickersRequest(link_id=link.id, new_selection="New")))
    assert failure.reason == "CRM_IS_REMOTE"
    failure = await refused(add(click_service_pb2.AddClickersRequest(link_id=link.id, project_id=TOUR)))
    assert failure.reason == "REFERENCE_NOT_FOUND"


async def test_with_a_remote_crm_the_embedded_one_is_not_served(campaign: Campaign) -> None:
    failure = await refused(campaign.stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=KARI)))
    assert failure.code.name == "UNIMPLEMENTED"


async def test_the_same_click_while_its_card_is_fetched_is_one_click_and_names_the_person_each_time(campaign: Campaign) -> None:
    link = await campaign.link(text="<p>Thank you, {{recipient.name}}</p>")
    token = (await campaign.url(link.id, person(KARI))).rpartition("/")[2]
    for _ in range(4):
        same = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
        calls: list[Any] = [campaign.stubs.clicks.RecordClick(same) for _ in range(6)]
        answers = await asyncio.gather(*calls)
        assert {answer.page.html for answer in answers} == {"<p>Thank you, Kari Nordmann</p>"}
        assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 5
    assert (await campaign.counts(link.id))[0] == 4


async def test_the_same_click_on_a_form_is_filled_in_again_from_the_other_crm(campaign: Campaign) -> None:
    draft = link_pb2.Link(name="F", form=link_pb2.Form(url="https://example.com/?n={{recipient.name}}"))
    link = await campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    token = (await campaign.url(link.id, person(KARI))).rpartition("/")[2]
    same = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
    answers = [await campaign.stubs.clicks.RecordClick(same) for _ in range(2)]
    assert [(answer.location, answer.duplicate) for answer in answers] == [
        ("https://example.com/?n=Kari%20Nordmann", False),
        ("https://example.com/?n=Kari%20Nordmann", True),
    ]
