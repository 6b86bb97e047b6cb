"""Clicks on links whose actions send events to other systems: real receivers on this machine."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from standardwebhooks import Webhook
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.receivers import Receiver, answers, hangs, ok, redirects
from tests.support.server import serving
from tests.support.stubs import refused
from trackedlinks.v1 import action_service_pb2, click_pb2, click_service_pb2, link_pb2, link_service_pb2, mailing_pb2

DONE, SKIPPED = click_pb2.ACTION_STATE_DONE, click_pb2.ACTION_STATE_SKIPPED
WAITING, RETRYING, DEAD = click_pb2.ACTION_STATE_WAITING, click_pb2.ACTION_STATE_RETRYING, click_pb2.ACTION_STATE_DEAD
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU="
OTHER_SECRET = "whsec_" + "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHJlY2VpdmVy"


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with Receiver(ok) as opened:
        yield opened


@pytest.fixture
async def campaign(database_url: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Campaign]:
    """A server that may send to the receiver, and tries again soon."""
    async with serving(database_url, tmp_path, webhook_allow=(receiver.pair,), retry_seconds=(0.02, 0.05, 0.1)) as stubs:
        yield Campaign(stubs)


async def hooked(campaign: Campaign, url: str, secret: str = SECRET, **fields: Any) -> link_pb2.Link:
    """A link whose action sends an event there."""
    return await campaign.link(actions=[link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=url, secret=secret), **fields)])


async def click(campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient, **evidence: Any) -> str:
    """Clicks, is redirected at once, and says which click it was."""
    url = await campaign.url(link_id, recipient)
    seen = click_pb2.Evidence(**evidence)
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2], evidence=seen)
    answer = await campaign.stubs.clicks.RecordClick(request)
    assert answer.location == "https://example.com/"
    return str(answer.click.id)


async def runs(campaign: Campaign, link_id: int) -> list[Any]:
    request = action_service_pb2.ListActionRunsRequest(link_id=link_id)
    return list((await campaign.stubs.actions.ListActionRuns(request)).action_runs)


async def until(campaign: Campaign, link_id: int, state: int) -> Any:
    """The link's newest run once this has become of it."""
    with anyio.fail_after(20):
        while True:
            run = (await runs(campaign, link_id))[0]
            if run.state == state:
                return run
            await anyio.sleep(0.02)


async def test_an_event_says_who_clicked_what_and_is_signed(campaign: Campaign, receiver: Receiver) -> None:
    kari = await campaign.person("Kari Nordmann", email="kari@example.com")
    link = await hooked(campaign, receiver.url("/hook?source=crm"))
    click_id = await click(campaign, link.id, person(kari))
    (request,) = await receiver.received(1)
    assert (request.method, request.target) == ("POST", "/hook?source=crm")
    assert request.headers["content-type"] == "application/cloudevents+json"
    event = Webhook(SECRET).verify(request.body, dict(request.headers))
    key = f"{click_id}_{link.actions[0].id}"
    assert request.headers["webhook-id"] == key
    time = event.pop("time")
    assert time.endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": key,
        "source": f"/links/{link.id}",
        "type": "trackedlinks.link.clicked.v1",
        "datacontenttype": "application/json",
        "data": {
            "click_id": click_id,
            "link": {"id": link.id, "name": "Link"},
            "mailing": None,
            "recipient": {"person_id": kari, "name": "Kari Nordmann", "email": "kari@example.com"},
        },
    }
    run = await until(campaign, link.id, DONE)
    assert (run.attempts, run.reason) == (1, "")
    assert not run.HasField("next_attempt_time")


async def test_an_event_is_sent_for_an_address_and_not_twice_for_one_recipient(campaign: Campaign, receiver: Receiver) -> None:
    link = await hooked(campaign, receiver.url("/"))
    ola = mailing_pb2.Recipient(email="Ola@example.com")
    await click(campaign, link.id, ola)
    await click(campaign, link.id, ola)
    await until(campaign, link.id, SKIPPED)
    (request,) = await receiver.received(1)
    assert json.loads(request.body)["data"]["recipient"] == {"email": "Ola@example.com"}
    nobody = mailing_pb2.Recipient()
    await click(campaign, link.id, nobody)
    assert "nobody's" in (await until(campaign, link.id, SKIPPED)).reason


async def test_at_every_click_nobody_sends_an_event_without_recipient(campaign: Campaign, receiver: Receiver) -> None:
    link = await hooked(campaign, receiver.url("/"), repeat_policy=link_pb2.REPEAT_POLICY_EVERY_CLICK)
    await click(campaign, link.id, mailing_pb2.Recipient())
    (request,) = await receiver.received(1)
    assert json.loads(request.body)["data"]["recipient"] is None


@pytest.mark.parametrize("evidence", [{"method": "HEAD"}, {"prefetch": True}])
async def test_what_is_no_humans_click_sends_nothing(campaign: Campaign, receiver: Receiver, evidence: dict[str, Any]) -> None:
    link = await hooked(campaign, receiver.url("/"))
    await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"), **evidence)
    await click(campaign, link.id, mailing_pb2.Recipient(email="b@example.com", test=True))
    await click(campaign, link.id, mailing_pb2.Recipient(email="c@example.com", do_not_track=True))
    await click(campaign, link.id, mailing_pb2.Recipient(email="d@example.com"))
    (request,) = await receiver.received(1)
    assert json.loads(request.body)["data"]["recipient"] == {"email": "d@example.com"}
    assert [run.state for run in await runs(campaign, link.id) if run.state == SKIPPED] == [SKIPPED]


async def test_an_event_that_fails_comes_again_with_its_id_until_it_is_taken(campaign: Campaign, receiver: Receiver) -> None:
    receiver.behaviours = [answers(500), redirects("http://127.0.0.1:1/"), answers(404), ok]
    link = await hooked(campaign, receiver.url("/"))
    await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"))
    run = await until(campaign, link.id, DONE)
    assert run.attempts == 4
    requests = await receiver.received(4)
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    assert len({request.body for request in requests}) == 1


async def test_what_fails_every_time_is_dead_and_can_be_tried_again(campaign: Campaign, receiver: Receiver) -> None:
    receiver.behaviours = [answers(418)]
    link = await hooked(campaign, receiver.url("/"))
    click_id = await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"))
    run = await until(campaign, link.id, DEAD)
    assert (run.attempts, "418" in run.reason) == (4, True)
    (known,) = (await campaign.stubs.actions.ListReceivers(action_service_pb2.ListReceiversRequest())).receivers
    assert (known.address, known.waiting_count, known.retrying_count, known.dead_count) == (receiver.url("").rstrip("/"), 0, 0, 1)
    assert "418" in known.last_error

    again = action_service_pb2.RetryActionRunsRequest(link_id=link.id, click_id=str(uuid7()))
    assert (await campaign.stubs.actions.RetryActionRuns(again)).retried_count == 0
    receiver.behaviours = [ok]
    again.click_id = click_id
    assert (await campaign.stubs.actions.RetryActionRuns(again)).retried_count == 1
    assert (await until(campaign, link.id, DONE)).attempts == 5
    assert (await campaign.stubs.actions.RetryActionRuns(again)).retried_count == 0
    assert not (await campaign.stubs.actions.ListReceivers(action_service_pb2.ListReceiversRequest())).receivers


async def test_a_receiver_that_is_gone_gets_nothing_more_until_somebody_says_so(campaign: Campaign, receiver: Receiver) -> None:
    receiver.behaviours = [answers(410)]
    link = await hooked(campaign, receiver.url("/"))
    await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"))
    assert (await until(campaign, link.id, DEAD)).attempts == 1
    await click(campaign, link.id, mailing_pb2.Recipient(email="b@example.com"))
    assert "410" in (await until(campaign, link.id, SKIPPED)).reason
    receiver.behaviours = [ok]
    assert (await campaign.stubs.actions.RetryActionRuns(action_service_pb2.RetryActionRunsRequest())).retried_count == 1
    await click(campaign, link.id, mailing_pb2.Recipient(email="b@example.com"))
    await until(campaign, link.id, DONE)
    assert len(await receiver.received(3)) == 3


async def test_an_address_that_was_mended_is_where_dead_events_go(campaign: Campaign, receiver: Receiver) -> None:
    receiver.behaviours = [answers(410)]
    link = await hooked(campaign, receiver.url("/wrong"))
    await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"))
    await until(campaign, link.id, DEAD)
    receiver.behaviours = [ok]
    link.actions[0].webhook.url = receiver.url("/right")
    await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=link.id, actions=link.actions)))
    await campaign.stubs.actions.RetryActionRuns(action_service_pb2.RetryActionRunsRequest(link_id=link.id))
    await until(campaign, link.id, DONE)
    assert [request.target for request in await receiver.received(2)] == ["/wrong", "/right"]


async def test_a_secret_is_never_sent_back_and_two_sign_after_a_change(campaign: Campaign, receiver: Receiver) -> None:
    link = await hooked(campaign, receiver.url("/"), repeat_policy=link_pb2.REPEAT_POLICY_EVERY_CLICK)
    assert SECRET not in str(link)
    assert link.actions[0].webhook.secret == ""
    a = mailing_pb2.Recipient(email="a@example.com")

    async def update(secret: str) -> link_pb2.Link:
        current = await campaign.read(link.id)
        current.actions[0].webhook.secret = secret
        changed = link_pb2.Link(id=link.id, actions=current.actions)
        updated: link_pb2.Link = await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=changed))
        assert SECRET not in str(updated)
        assert OTHER_SECRET not in str(updated)
        return updated

    kept = await update("")
    assert not kept.actions[0].webhook.HasField("previous_secret_expire_time")
    await click(campaign, link.id, a)
    (request,) = await receiver.received(1)
    Webhook(SECRET).verify(request.body, dict(request.headers))

    rotated = await update(OTHER_SECRET)
    assert rotated.actions[0].webhook.HasField("previous_secret_expire_time")
    await click(campaign, link.id, a)
    _, request = await receiver.received(2)
    for secret in (SECRET, OTHER_SECRET):
        Webhook(secret).verify(request.body, dict(request.headers))
    assert len(request.headers["webhook-signature"].split()) == 2


async def test_a_new_webhook_needs_a_secret_and_a_public_address(campaign: Campaign, receiver: Receiver) -> None:
    def draft(**webhook: Any) -> link_service_pb2.CreateLinkRequest:
        actions = [link_pb2.LinkAction(webhook=link_pb2.SendWebhook(**webhook))]
        link = link_pb2.Link(name="x", redirect=link_pb2.Redirect(url="https://example.com/"), actions=actions)
        return link_service_pb2.CreateLinkRequest(link=link)

    failure = await refused(campaign.stubs.links.CreateLink(draft(url=receiver.url("/"))))
    assert failure.fields == {"link.actions[0].webhook": "secret must be given: whsec_ and 24 to 64 bytes in base64"}
    failure = await refused(campaign.stubs.links.CreateLink(draft(url=receiver.url("/"), secret="hunter2")))
    assert failure.fields == {"link.actions[0].webhook.secret": "must start with whsec_"}
    assert "hunter2" not in failure.message
    for url in (
        "http://127.0.0.1:1/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/",
        "http://[::1]/",
        "http://2130706433/",
    ):
        failure = await refused(campaign.stubs.links.CreateLink(draft(url=url, secret=SECRET)))
        assert list(failure.fields) == ["link.actions[0].webhook.url"], url
    failure = await refused(campaign.stubs.links.CreateLink(draft(url="ftp://example.com/", secret=SECRET)))
    assert list(failure.fields) == ["link.actions[0].webhook.url"]


async def test_one_receiver_that_hangs_delays_nobody_else(database_url: str, tmp_path: Path, receiver: Receiver) -> None:
    async with Receiver(hangs) as dead, serving(database_url, tmp_path, webhook_allow=(receiver.pair, dead.pair)) as stubs:
        campaign = Campaign(stubs)
        slow, quick = await hooked(campaign, dead.url("/")), await hooked(campaign, receiver.url("/"))
        for number in range(20):
            await click(campaign, slow.id, mailing_pb2.Recipient(email=f"{number}@example.com"))
        for number in range(20):
            await click(campaign, quick.id, mailing_pb2.Recipient(email=f"{number}@example.com"))
        requests = await receiver.received(20)
        assert len({request.headers["webhook-id"] for request in requests}) == 20
        assert {run.state for run in await runs(campaign, slow.id)} == {WAITING}


async def test_events_of_one_click_are_sent_in_the_order_of_its_actions(campaign: Campaign, receiver: Receiver) -> None:
    hooks = [link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=receiver.url(f"/{number}"), secret=SECRET)) for number in range(5)]
    link = await campaign.link(actions=hooks)
    for number in range(10):
        await click(campaign, link.id, mailing_pb2.Recipient(email=f"{number}@example.com"))
    requests = await receiver.received(50)
    by_click: dict[str, list[str]] = {}
    for request in requests:
        by_click.setdefault(request.headers["webhook-id"].partition("_")[0], []).append(request.target)
    assert list(by_click.values()) == [[f"/{number}" for number in range(5)]] * 10


async def test_a_dry_run_names_the_receiver_and_sends_nothing(campaign: Campaign, receiver: Receiver) -> None:
    link = await hooked(campaign, receiver.url("/hook?key=1"))
    asked = action_service_pb2.TestActionsRequest(link_id=link.id, recipient=mailing_pb2.Recipient(email="a@example.com"))
    (tested,) = (await campaign.stubs.actions.TestActions(asked)).actions
    assert (tested.state, list(tested.effects)) == (WAITING, [f"send a signed event to {receiver.url('').rstrip('/')}"])
    await click(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"))
    assert len(await receiver.received(1)) == 1


async def test_wrong_questions_about_runs_are_refused(campaign: Campaign) -> None:
    retry = campaign.stubs.actions.RetryActionRuns
    wrong = action_service_pb2.RetryActionRunsRequest(link_id=-1, mailing_id=-2, click_id="x", action_id=-3)
    assert set((await refused(retry(wrong))).fields) == {"link_id", "mailing_id", "click_id", "action_id"}
    assert (await refused(retry(action_service_pb2.RetryActionRunsRequest(link_id=999)))).reason == "LINK_NOT_FOUND"
    listed = campaign.stubs.actions.ListReceivers
    assert (await refused(listed(action_service_pb2.ListReceiversRequest(page_size=-1)))).reason == "INVALID_FIELD"
    assert (await refused(listed(action_service_pb2.ListReceiversRequest(page_token="x")))).reason == "PAGE_TOKEN_INVALID"
