"""Clicks on links whose actions run scripts."""

from typing import Any

import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    click_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    script_pb2,
    script_service_pb2,
)

DONE, SKIPPED, FAILED = click_pb2.ACTION_STATE_DONE, click_pb2.ACTION_STATE_SKIPPED, click_pb2.ACTION_STATE_FAILED


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def script(campaign: Campaign, source: str) -> int:
    request = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name=f"Script {uuid7()}", source=source))
    return int((await campaign.stubs.scripts.CreateScript(request)).id)


async def scripted(campaign: Campaign, *sources: str, **fields: Any) -> link_pb2.Link:
    """A link that runs these scripts."""
    ids = [await script(campaign, source) for source in sources]
    return await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=each)) for each in ids], **fields)


async def click(
    campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient | None = None, click_id: str = "", **evidence: Any
) -> Any:
    url = await campaign.url(link_id, recipient)
    seen = click_pb2.Evidence(**evidence)
    request = click_service_pb2.RecordClickRequest(click_id=click_id or str(uuid7()), token=url.rpartition("/")[2], evidence=seen)
    return await campaign.stubs.clicks.RecordClick(request)


async def runs(campaign: Campaign, link_id: int) -> list[Any]:
    request = action_service_pb2.ListActionRunsRequest(link_id=link_id)
    return list((await campaign.stubs.actions.ListActionRuns(request)).action_runs)


async def test_a_script_reads_the_click_and_sends_the_recipient_elsewhere(campaign: Campaign) -> None:
    source = 'returnUrl = f"https://example.org/{custId}/{linkId}/{shipmentId}/{linkHits}"\nprint(linkUrl, recipient["name"])\n'
    link = await scripted(campaign, source)
    kari = await campaign.person("Kari", email="kari@example.com")
    first = await click(campaign, link.id, person(kari))
    again = await click(campaign, link.id, person(kari))
    assert first.location == f"https://example.org/{kari}/{link.id}/0/1"
    assert again.location == f"https://example.org/{kari}/{link.id}/0/2"
    assert [(run.state, run.log) for run in await runs(campaign, link.id)] == [(DONE, "https://example.com/ Kari\n")] * 2


async def test_a_script_that_sets_nothing_leaves_the_response_of_the_link(campaign: Campaign) -> None:
    link = await scripted(campaign, 'print("seen")')
    assert (await click(campaign, link.id)).location == "https://example.com/"
    text = await scripted(campaign, 'returnUrl = ""', text="<p>Thank you</p>")
    assert "Thank you" in (await click(campaign, text.id)).page.html


async def test_a_script_may_override_a_text_and_the_mailings_parameters_are_added(campaign: Campaign) -> None:
    link = await scripted(campaign, 'returnUrl = "https://example.org/offer?a=1#top"', text="<p>Thank you</p>")
    analytics = mailing_pb2.GoogleAnalytics(source="crm", campaign="spring")
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    _, (urls,) = await campaign.mail(html, [mailing_pb2.Recipient(email="ola@example.com")], google_analytics=analytics)
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=urls[0].rpartition("/")[2])
    answer = await campaign.stubs.clicks.RecordClick(request)
    assert answer.location == "https://example.org/offer?a=1&utm_medium=email&utm_source=crm&utm_campaign=spring#top"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("while True: pass", "The script ran for more than 250 ms"),
        ("x = 1\ny = nothing", "Line 2: name 'nothing' is not defined"),
        ('returnUrl = "javascript:alert(1)"', "returnUrl is no web address"),
        ('returnUrl = "https://user@example.com/"', "returnUrl is no web address"),
        ("returnUrl = 5", "returnUrl must be text"),
        ("x = [0] * 10**9", ""),
    ],
)
async def test_a_script_that_fails_fails_alone(campaign: Campaign, source: str, reason: str) -> None:
    kari = await campaign.person("Kari")
    bad = link_pb2.LinkAction(script=link_pb2.RunScript(script_id=await script(campaign, source)))
    field = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes"))
    link = await campaign.link(actions=[bad, field])
    answer = await click(campaign, link.id, person(kari))
    assert answer.location == "https://example.com/"
    (script_run, field_run) = answer.click.actions
    assert script_run.state == FAILED
    assert script_run.reason.startswith(reason)
    assert script_run.reason
    assert field_run.state == DONE
    assert (await campaign.card(kari)).extra_fields["clicked"] == "yes"


async def test_of_several_scripts_the_last_that_chose_a_url_is_heard(campaign: Campaign) -> None:
    link = await scripted(campaign, 'returnUrl = "https://one.example/"', 'returnUrl = "https://two.example/"', "1/0")
    answer = await click(campaign, link.id)
    assert answer.location == "https://two.example/"
    assert [run.state for run in answer.click.actions] == [DONE, DONE, FAILED]


async def test_the_same_click_sent_twice_gets_its_first_answer(campaign: Campaign) -> None:
    link = await scripted(campaign, 'returnUrl = f"https://example.org/{linkHits}"')
    same = str(uuid7())
    first = await click(campaign, link.id, click_id=same)
    await click(campaign, link.id)
    again = await click(campaign, link.id, click_id=same)
    assert (first.location, first.duplicate) == ("https://example.org/1", False)
    assert (again.location, again.duplicate) == ("https://example.org/1", True)
    assert (await campaign.counts(link.id))[0] == 2


async def test_a_script_that_runs_once_is_heard_once(campaign: Campaign) -> None:
    source = await script(campaign, 'returnUrl = "https://example.org/first"')
    run = link_pb2.LinkAction(script=link_pb2.RunScript(script_id=source), repeat_policy=link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT)
    link, kari = await campaign.link(actions=[run]), await campaign.person("Kari")
    first, again = [await click(campaign, link.id, person(kari)) for _ in range(2)]
    assert (first.location, again.location) == ("https://example.org/first", "https://example.com/")
    assert again.click.actions[0].state == SKIPPED


async def test_what_is_no_humans_click_runs_no_script(campaign: Campaign) -> None:
    link = await scripted(campaign, 'returnUrl = "https://example.org/"')
    for recipient, evidence in (
        (mailing_pb2.Recipient(), {"method": "HEAD"}),
        (mailing_pb2.Recipient(), {"prefetch": True}),
        (mailing_pb2.Recipient(email="a@example.com", test=True), {}),
        (mailing_pb2.Recipient(email="a@example.com", do_not_track=True), {}),
    ):
        answer = await click(campaign, link.id, recipient, **evidence)
        assert answer.location == "https://example.com/", (recipient, evidence)


async def test_a_new_version_runs_at_the_next_click_and_a_chosen_one_stays(campaign: Campaign) -> None:
    made = await script(campaign, 'returnUrl = "https://one.example/"')
    newest = await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made))])
    pinned = await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made, version=1))])
    changed = script_pb2.Script(id=made, source='returnUrl = "https://two.example/"')
    assert (await campaign.stubs.scripts.UpdateScript(script_service_pb2.UpdateScriptRequest(script=changed))).version == 2
    assert (await click(campaign, newest.id)).location == "https://two.example/"
    assert (await click(campaign, pinned.id)).location == "https://one.example/"


async def test_a_link_cannot_name_a_script_or_a_version_that_is_not_there(campaign: Campaign) -> None:
    made = await script(campaign, "pass")
    actions = [
        link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made + 1)),
        link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made, version=2)),
        link_pb2.LinkAction(script=link_pb2.RunScript()),
    ]
    draft = link_pb2.Link(name="x", redirect=link_pb2.Redirect(url="https://example.com/"), actions=actions[:2])
    failure = await refused(campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft)))
    assert failure.reason == "REFERENCE_NOT_FOUND"
    assert failure.fields == {
        "link.actions[0].script.script_id": f"there is no script {made + 1}",
        "link.actions[1].script.script_id": f"there is no script {made} in version 2",
    }
    draft.actions.append(actions[2])
    failure = await refused(campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft)))
    assert list(failure.fields) == ["link.actions[2].script.script_id"]


async def test_a_dry_run_says_where_the_script_would_lead(campaign: Campaign) -> None:
    link = await scripted(campaign, 'returnUrl = "https://example.org/"', "pass", "1/0")
    response = await campaign.stubs.actions.TestActions(action_service_pb2.TestActionsRequest(link_id=link.id))
    told = [(each.state, list(each.effects)) for each in response.actions]
    assert told == [
        (DONE, ["send the recipient to https://example.org/"]),
        (DONE, ["leave the recipient to where the link leads"]),
        (FAILED, []),
    ]
    assert "division" in response.actions[2].reason
    assert await campaign.counts(link.id) == (0, 0, 0)


async def test_a_click_that_waits_for_its_script_lets_the_others_of_its_batch_go_first(campaign: Campaign) -> None:
    slow, quick = await scripted(campaign, "while True: pass"), await campaign.link()
    tokens = [(await campaign.url(link.id)).rpartition("/")[2] for link in (slow, quick)]
    clicks = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token) for token in tokens]
    call = campaign.stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=clicks))
    first, second = await call.read(), await call.read()
    assert list(first.committed) == [clicks[1].click_id]
    assert list(first.deferred) == [clicks[0].click_id]
    assert [answer.click_id for answer in first.answers] == [clicks[1].click_id]
    assert list(second.committed) == [clicks[0].click_id]
    assert [answer.location for answer in second.answers] == ["https://example.com/"]
    await call.done_writing()
