"""Subscriptions of the embedded CRM, as any caller of CrmService sees them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from tests.support.campaign import Campaign
from tests.support.crm import delete_entry
from tests.support.databases import on_one_database
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_service_pb2, embedded_crm_service_pb2

NOW = datetime.now(UTC)


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


def who(**fields: Any) -> crm_service_pb2.Subscriber:
    return crm_service_pb2.Subscriber(**fields)


async def of(stubs: Stubs, *subscribers: crm_service_pb2.Subscriber, mailing_type_id: int = 0) -> list[list[tuple[int, bool]]]:
    request = crm_service_pb2.GetSubscriptionsRequest(subscribers=subscribers, mailing_type_id=mailing_type_id)
    results = (await stubs.crm.GetSubscriptions(request)).results
    return [[(each.mailing_type_id, each.subscribed) for each in result.subscriptions] for result in results]


async def change(
    stubs: Stubs, subscriber: crm_service_pb2.Subscriber, type_id: int, subscribed: bool, time: datetime | None = None
) -> crm_service_pb2.Subscription:
    request = crm_service_pb2.SetSubscriptionRequest(subscriber=subscriber, mailing_type_id=type_id, subscribed=subscribed)
    if time is not None:
        request.change_time.FromDatetime(time)
    found: crm_service_pb2.Subscription = await stubs.crm.SetSubscription(request)
    return found


async def test_everybody_is_subscribed_until_they_leave(stubs: Stubs, campaign: Campaign) -> None:
    news, offers = await campaign.entry("MAILING_TYPE", "News"), await campaign.entry("MAILING_TYPE", "Offers")
    kari, guest = who(person_id=1), who(email="guest@example.org")
    assert await of(stubs, kari, guest) == [[(news, True), (offers, True)]] * 2
    found = await change(stubs, kari, news, False)
    assert (found.mailing_type, found.subscribed, found.HasField("change_time")) == ("News", False, True)
    assert await of(stubs, guest, kari) == [[(news, True), (offers, True)], [(news, False), (offers, True)]]
    assert await of(stubs, kari, mailing_type_id=news) == [[(news, False)]]
    assert (await change(stubs, guest, news, True)).subscribed


async def test_an_address_is_one_subscriber_in_every_spelling(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    await change(stubs, who(email=" Åse@ØL.example "), news, False)
    assert await of(stubs, who(email="åse@xn--l-4ga.example")) == [[(news, False)]]
    assert await of(stubs, who(email="ase@xn--l-4ga.example")) == [[(news, True)]]


async def test_a_person_and_the_address_on_the_card_are_one_subscriber(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    await change(stubs, who(email="kari@example.com"), news, False, NOW - timedelta(hours=2))
    kari = await campaign.person("Kari", email="Kari@example.com")
    other = await campaign.person("Other", email="other@example.com")
    assert await of(stubs, who(person_id=kari), who(person_id=other)) == [[(news, False)], [(news, True)]]
    await change(stubs, who(person_id=kari), news, True, NOW - timedelta(hours=1))
    assert await of(stubs, who(email="kari@example.com"), who(person_id=kari)) == [[(news, True)]] * 2
    await change(stubs, who(email="kari@example.com"), news, False, NOW)
    assert await of(stubs, who(person_id=kari)) == [[(news, False)]]


async def test_who_has_left_has_left_when_the_person_is_deleted(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    kari = await campaign.person("Kari", email="kari@example.com")
    await change(stubs, who(person_id=kari), news, False)
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=kari))
    again = await campaign.person("Kari", email="Kari@example.com")
    assert await of(stubs, who(email="kari@example.com"), who(person_id=again), who(person_id=kari)) == [[(news, False)]] * 3


async def test_a_change_that_is_older_than_what_is_stored_changes_nothing(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    await change(stubs, who(person_id=1), news, False, NOW)
    late = await change(stubs, who(person_id=1), news, True, NOW - timedelta(seconds=1))
    assert not late.subscribed
    again = await change(stubs, who(person_id=1), news, False, NOW + timedelta(seconds=1))
    assert again.change_time.ToDatetime(UTC) > late.change_time.ToDatetime(UTC)
    assert not (await change(stubs, who(person_id=1), news, True, NOW + timedelta(milliseconds=500))).subscribed  # it comes late
    assert (await change(stubs, who(person_id=1), news, True, NOW + timedelta(seconds=2))).subscribed


async def test_a_mailing_type_that_is_gone_is_named(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    user = await campaign.entry("USER", "Liv")
    await delete_entry(stubs, news)
    for type_id in (news, user):
        refusal = await refused(change(stubs, who(person_id=1), type_id, False))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REFERENCE_NOT_FOUND")
        assert refusal.fields == {"mailing_type_id": f"the CRM has no mailing type {type_id}"}
        assert (await refused(of(stubs, who(person_id=1), mailing_type_id=type_id))).reason == "REFERENCE_NOT_FOUND"
    assert await of(stubs, who(person_id=1)) == [[]]


@on_one_database
async def test_every_wrong_field_is_named(stubs: Stubs) -> None:
    subscribers = [who(), who(person_id=-1), who(email="nobody"), who(email=""), who(person_id=2**63 - 1), who(person_id=5)]
    refusal = await refused(of(stubs, *subscribers, mailing_type_id=-1))
    assert sorted(refusal.fields) == [
        "mailing_type_id",
        "subscribers[0]",
        "subscribers[1].person_id",
        "subscribers[2].email",
        "subscribers[3].email",
        "subscribers[4].person_id",
    ]
    assert sorted((await refused(of(stubs))).fields) == ["subscribers"]
    assert sorted((await refused(of(stubs, *[who(person_id=1)] * 1001))).fields) == ["subscribers"]
    refusal = await refused(change(stubs, who(), 0, False, datetime.now(UTC) + timedelta(minutes=6)))
    assert sorted(refusal.fields) == ["change_time", "mailing_type_id", "subscriber"]


async def test_a_thousand_subscribers_are_told_in_order(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    leavers = {3, 500, 999}
    for number in leavers:
        await change(stubs, who(person_id=number + 1) if number % 2 else who(email=f"p{number}@example.com"), news, False)
    subscribers = [who(person_id=number + 1) if number % 2 else who(email=f"p{number}@example.com") for number in range(1000)]
    assert await of(stubs, *subscribers, mailing_type_id=news) == [[(news, number not in leavers)] for number in range(1000)]
