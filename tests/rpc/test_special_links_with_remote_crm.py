"""Special links where the CRM is another team's: it is told what recipients want, at once or when it is back."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import grpc
import pytest

from server.outbox import subscription_changes
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.hostile_crm import HostileCrm, answering, failing
from tests.support.other_crm import OtherCrm
from tests.support.server import serving
from tests.support.special import Sent, sent
from tests.support.stubs import refused
from trackedlinks.v1 import crm_service_pb2, mailing_pb2, recipient_service_pb2

NEWSLETTER = 7
KARI = 1
MANAGE_ONLY = b'<a href="https://x.example/">x</a><a href="trackedlink:manage-subscriptions">x</a>'
LEAVE = recipient_service_pb2.SubscriptionChange()
ALL_THERE = answering(crm_service_pb2.CheckReferencesResponse())


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM is told again sooner, and waited for less long when no recipient waits: the order of things is the same."""
    monkeypatch.setattr(subscription_changes, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(subscription_changes, "SECONDS", 1.0)


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[OtherCrm]:
    opened = OtherCrm(tmp_path)
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
async def campaign(database_url: str, tmp_path: Path, crm: OtherCrm, anyio_backend: str) -> AsyncIterator[Campaign]:
    async with serving(database_url, tmp_path, crm=crm.setting) as stubs:
        yield Campaign(stubs)


async def page(campaign: Campaign, path: str) -> Any:
    request = recipient_service_pb2.GetSubscriptionPageRequest(token=path.strip("/"))
    return await campaign.stubs.recipients.GetSubscriptionPage(request)


async def change(campaign: Campaign, path: str, *changes: recipient_service_pb2.SubscriptionChange) -> Any:
    request = recipient_service_pb2.ChangeSubscriptionsRequest(token=path.strip("/"), changes=changes)
    return await campaign.stubs.recipients.ChangeSubscriptions(request)


def left(crm: OtherCrm) -> list[tuple[Any, ...]]:
    return crm.rows("SELECT subscriber, mailing_type_id, subscribed FROM subscription ORDER BY 1")


async def test_the_other_crm_says_and_is_told(campaign: Campaign, crm: OtherCrm) -> None:
    mail = await sent(campaign, person(KARI), mailing_type_id=NEWSLETTER)
    guests = await sent(campaign, mailing_pb2.Recipient(email="guest@example.org"), mailing_type_id=NEWSLETTER)
    found = await page(campaign, mail.unsubscribe)
    assert [(each.mailing_type, each.subscribed) for each in found.subscriptions] == [("Newsletter", True)]
    for path in (mail.unsubscribe, guests.header, guests.header):
        assert not (await change(campaign, path, LEAVE)).subscriptions[0].subscribed
    assert left(crm) == [("1", NEWSLETTER, 0), ("guest@example.org", NEWSLETTER, 0)]
    back = recipient_service_pb2.SubscriptionChange(mailing_type_id=NEWSLETTER, subscribed=True)
    assert (await change(campaign, mail.manage, back)).subscriptions[0].subscribed
    assert left(crm)[0] == ("1", NEWSLETTER, 1)


async def test_who_leaves_while_the_crm_is_away_has_left_and_the_crm_hears_of_it_later(campaign: Campaign, crm: OtherCrm) -> None:
    mail = await sent(campaign, person(KARI), mailing_type_id=NEWSLETTER, name="The week")
    crm.kill()
    for _ in range(2):
        found = await change(campaign, mail.header, LEAVE)
        assert [(each.mailing_type, each.subscribed) for each in found.subscriptions] == [("The week", False)]
    assert not (await page(campaign, mail.unsubscribe)).subscriptions[0].subscribed
    assert (await refused(page(campaign, mail.manage))).code is grpc.StatusCode.UNAVAILABLE
    crm.start()
    with anyio.fail_after(30):
        while left(crm) != [("1", NEWSLETTER, 0)]:
            await anyio.sleep(0.05)
    found = await page(campaign, mail.manage)
    assert [(each.mailing_type, each.subscribed) for each in found.subscriptions] == [("Newsletter", False)]


async def test_a_mailing_type_that_the_other_crm_has_no_more_has_no_subscribers(campaign: Campaign, crm: OtherCrm) -> None:
    mail = await sent(campaign, person(KARI), mailing_type_id=NEWSLETTER)
    crm.write("DELETE FROM entry WHERE id = ?", [NEWSLETTER])
    assert not (await change(campaign, mail.header, LEAVE)).subscriptions[0].subscribed
    assert left(crm) == []


def said(*subscriptions: crm_service_pb2.Subscription) -> crm_service_pb2.GetSubscriptionsResponse:
    return crm_service_pb2.GetSubscriptionsResponse(results=[crm_service_pb2.SubscriberSubscriptions(subscriptions=subscriptions)])


@on_one_database
@pytest.mark.parametrize(
    "answer",
    [
        answering(b"\xff\xff\xff"),
        answering(crm_service_pb2.GetSubscriptionsResponse()),
        answering(said()),
        answering(said(crm_service_pb2.Subscription(mailing_type_id=-1, mailing_type="x"))),
        answering(said(crm_service_pb2.Subscription(mailing_type_id=NEWSLETTER + 1, mailing_type="x"))),
        failing(grpc.StatusCode.INTERNAL),
        failing(grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_whatever_a_crm_answers_one_can_leave_and_the_page_is_whole(database_url: str, tmp_path: Path, answer: Any) -> None:
    async with (
        HostileCrm(CheckReferences=ALL_THERE, GetSubscriptions=answer, SetSubscription=answer) as crm,
        serving(database_url, tmp_path, crm=f"grpc://{crm.address}") as stubs,
    ):
        campaign = Campaign(stubs)
        mail: Sent = await sent(campaign, person(KARI), mailing_type_id=NEWSLETTER, name="The week")
        found = await page(campaign, mail.unsubscribe)
        assert [(each.mailing_type, each.subscribed) for each in found.subscriptions] == [("The week", True)]
        assert not (await change(campaign, mail.header, LEAVE)).subscriptions[0].subscribed
        assert not (await page(campaign, mail.unsubscribe)).subscriptions[0].subscribed


@on_one_database
async def test_what_a_crm_says_is_kept_within_limits(database_url: str, tmp_path: Path) -> None:
    long = crm_service_pb2.Subscription(mailing_type_id=NEWSLETTER, mailing_type="x\n" * 500, subscribed=True)
    long.change_time.seconds = 2**60
    many = [crm_service_pb2.Subscription(mailing_type_id=number, mailing_type="") for number in range(8, 3000)]
    async with (
        HostileCrm(CheckReferences=ALL_THERE, GetSubscriptions=answering(said(long, *many))) as crm,
        serving(database_url, tmp_path, crm=f"grpc://{crm.address}") as stubs,
    ):
        campaign = Campaign(stubs)
        mail = await sent(campaign, person(KARI), mailing_type_id=NEWSLETTER)
        found = await page(campaign, mail.manage)
    assert len(found.subscriptions) == 1000
    assert len(found.subscriptions[0].mailing_type) < 256
    assert "\n" not in found.subscriptions[0].mailing_type
    assert found.subscriptions[1].mailing_type == "Mailing type 8"


async def test_leaving_all_while_the_crm_hangs_keeps_every_wish(database_url: str, tmp_path: Path) -> None:
    types = [crm_service_pb2.Subscription(mailing_type_id=number, mailing_type=f"T{number}", subscribed=True) for number in range(1, 11)]
    told: dict[int, bool] = {}
    hanging = True

    async def set_subscription(request: crm_service_pb2.SetSubscriptionRequest, context: Any) -> crm_service_pb2.Subscription:
        if hanging:
            await anyio.sleep(60)
        told[request.mailing_type_id] = request.subscribed
        return crm_service_pb2.Subscription(mailing_type_id=request.mailing_type_id, mailing_type="T", subscribed=request.subscribed)

    async with (
        HostileCrm(CheckReferences=ALL_THERE, GetSubscriptions=answering(said(*types)), SetSubscription=set_subscription) as crm,
        serving(database_url, tmp_path, crm=f"grpc://{crm.address}") as stubs,
    ):
        campaign = Campaign(stubs)
        mail = await sent(campaign, person(KARI), mailing_type_id=1, html=MANAGE_ONLY)
        leave_all = [recipient_service_pb2.SubscriptionChange(mailing_type_id=number) for number in range(1, 11)]
        found = await change(campaign, mail.manage, *leave_all)
        assert [each.subscribed for each in found.subscriptions] == [False] * 10
        assert not any(each.subscribed for each in (await page(campaign, mail.manage)).subscriptions)
        hanging = False
        with anyio.fail_after(60):
            while len(told) < 10:
                await anyio.sleep(0.05)
    assert not any(told.values())
