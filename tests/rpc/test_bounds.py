"""What may be under way in a server: nobody can have more than a share, and those who take nothing give way to those who wait."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from uuid_utils import uuid7

from server.rpc import bounds
from server.rpc.serving import OPTIONS
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.greedy import Greedy
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

pytestmark = on_one_database

LIST = "trackedlinks.v1.LinkService/ListLinks"
CLICKS = "trackedlinks.v1.ClickService/RecordClicks"
WATCH = "trackedlinks.v1.ClickService/WatchPlacements"
RENDER = "trackedlinks.v1.MailingService/RenderMessages"
HEALTH_WATCH = "grpc.health.v1.Health/Watch"
RESOURCE_EXHAUSTED = str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
SECONDS = 20


@contextlib.asynccontextmanager
async def greedy(stubs: Stubs, number: int) -> AsyncIterator[list[Greedy]]:
    """So many connections that take nothing."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Greedy(int(stubs.address.rpartition(":")[2]))) for _ in range(number)]


async def until(true: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.01)


async def large_links(stubs: Stubs) -> None:
    """So many that a list of them has all the bytes that a list may have."""
    texts = [link_pb2.Link(name=f"L{number}", custom_text=link_pb2.CustomText(html="x" * 30_000)) for number in range(120)]
    for start in range(0, 120, 60):
        await stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=texts[start : start + 60]))


def click(token: str) -> click_service_pb2.RecordClicksRequest:
    one = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
    return click_service_pb2.RecordClicksRequest(clicks=[one])


async def test_who_reads_no_lists_holds_a_share_and_all_others_are_answered(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rpc.admission.PATIENCE", 3600.0)
    campaign = Campaign(stubs)
    await large_links(stubs)
    link = await campaign.link()
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    async with greedy(stubs, 3) as takers, asyncio.timeout(SECONDS):
        for taker in takers:
            for _ in range(30):
                await taker.call(LIST, link_service_pb2.ListLinksRequest(page_size=1000))
        assert len((await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))).links) > 100
        assert (await stubs.clicks.RecordClick(click(token).clicks[0])).location
        health = health_pb2_grpc.HealthStub(stubs.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        assert not any(taker.ended for taker in takers)


async def test_who_takes_no_answer_loses_the_connection_when_others_wait_for_room(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rpc.admission.PATIENCE", 3600.0)
    for_four = bounds.Room(16 * bounds.MEBIBYTE, 8 * bounds.MEBIBYTE)
    monkeypatch.setattr("server.rpc.bounds.LIST", dataclasses.replace(bounds.LIST, room=for_four))
    await large_links(stubs)
    async with greedy(stubs, 3) as takers, asyncio.timeout(SECONDS):
        for taker in takers:
            for _ in range(3):
                await taker.call(LIST, link_service_pb2.ListLinksRequest(page_size=1000))
        await until(lambda: sum(len(taker.begun - taker.ended.keys()) for taker in takers) == 4)
        monkeypatch.setattr("server.rpc.admission.PATIENCE", 0.3)
        answered = False
        while not answered:  # each connection that is cut is one share of the room
            with contextlib.suppress(grpc.aio.AioRpcError):
                answered = bool((await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))).links)
        assert any(taker.cut.is_set() for taker in takers)


async def test_calls_beyond_those_that_may_wait_are_refused_and_the_log_counts_them(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rpc.bounds.LIST", dataclasses.replace(bounds.LIST, most=4, share=2))
    monkeypatch.setattr("server.rpc.admission.PATIENCE", 3600.0)
    await large_links(stubs)
    async with greedy(stubs, 1) as (taker,):
        with capture_logs() as logs:
            calls = [await taker.call(LIST, link_service_pb2.ListLinksRequest(page_size=1000)) for _ in range(20)]
            await until(lambda: len(taker.ended) == 18)
        assert {taker.ended[call]["grpc-status"] for call in calls if call in taker.ended} == {RESOURCE_EXHAUSTED}
        assert [line["kind"] for line in logs if line["event"] == "refused"] == ["list"]
        assert (await stubs.links.ListLinks(link_service_pb2.ListLinksRequest())).links


async def test_a_front_door_gets_its_streams_whoever_has_opened_all_of_them(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/")
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    before = stubs.clicks.RecordClicks()  # of a front door that is there already, and quiet
    await before.write(click(token))
    assert (await before.read()).committed
    async with greedy(stubs, 3) as takers, asyncio.timeout(SECONDS):
        for taker in takers:
            for _ in range(80):
                await taker.call(CLICKS, click_service_pb2.RecordClicksRequest(), ends=False)
                await taker.call(WATCH, click_service_pb2.WatchPlacementsRequest())
        front = Stubs(stubs.address)
        clicks = front.clicks.RecordClicks()
        await clicks.write(click(token))
        assert (await clicks.read()).committed
        told = None
        while not told:  # as front doors do: those that were told something a moment ago do not give way
            with contextlib.suppress(grpc.aio.AioRpcError):
                told = (await front.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest()).read()).answers
        await before.write(click(token))
        assert (await before.read()).committed
        ended = [each for taker in takers for each in taker.ended.values()]
        assert len(ended) > 200
        assert {each["grpc-status"] for each in ended} == {RESOURCE_EXHAUSTED}
        await front.channel.close()


async def test_watches_that_are_not_read_give_way_to_one_that_is(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rpc.admission.PATIENCE", 0.3)
    campaign = Campaign(stubs)
    await large_links(stubs)
    listed = (await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))).links
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in listed)
    await campaign.track((await campaign.mailing()).id, html.encode())
    async with greedy(stubs, 3) as takers, asyncio.timeout(SECONDS):
        for taker in takers:
            for _ in range(3):
                await taker.call(WATCH, click_service_pb2.WatchPlacementsRequest())
        clicks = [await taker.call(CLICKS, click_service_pb2.RecordClicksRequest(), ends=False) for taker in takers]
        await until(lambda: all(call in taker.begun for taker, call in zip(takers, clicks, strict=True)))
        told = 0
        async for response in stubs.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest()):
            told += sum(len(answer.placement_ids) for answer in response.answers)
            if not response.answers:
                break
        assert told >= 100


async def test_what_one_caller_may_not_open_more_of_another_still_may(stubs: Stubs) -> None:
    health = health_pb2_grpc.HealthStub(stubs.channel)
    async with greedy(stubs, 1) as (taker,), asyncio.timeout(SECONDS):
        for _ in range(300):
            await taker.call(HEALTH_WATCH, health_pb2.HealthCheckRequest())
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await until(lambda: len(taker.ended) == 250)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends at once what is idle."""
    monkeypatch.setattr("server.rpc.bounds.MINT", dataclasses.replace(bounds.MINT, idle=0.05))
    monkeypatch.setattr("server.rpc.admission.UNREAD", 0.3)
    monkeypatch.setattr("server.rpc.admission.LOOK", 0.02)


async def test_a_stream_of_recipients_that_nothing_is_sent_on_ends_and_those_of_front_doors_do_not(impatient: None, stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    clicks = stubs.clicks.RecordClicks()
    await clicks.initial_metadata()
    watch = stubs.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest())
    assert (await watch.read()).position
    minting = stubs.mailings.MintUrls()
    await minting.write(mailing_service_pb2.MintUrlsRequest(link_ids=[link.id], recipients=[person(1)]))
    response = await minting.read()
    token = response.results[0].urls[0].url.rpartition("/")[2]
    async with asyncio.timeout(SECONDS):
        refusal = await refused(minting.read())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "STREAM_IDLE")
        await clicks.write(click(token))
        assert (await clicks.read()).committed
        assert (await watch.read()).answers


async def test_a_stream_whose_answers_are_not_read_ends_and_then_its_connection(impatient: None, stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    mailing = await campaign.mailing()
    await campaign.track(mailing.id, b'<a href="https://example.com/">x</a>' + b"x" * 200_000)
    recipients = [mailing_pb2.Recipient(person_id=number + 1) for number in range(500)]
    request = mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, recipients=recipients)
    async with greedy(stubs, 1) as (taker,), asyncio.timeout(SECONDS):
        with capture_logs() as logs:
            await taker.call(RENDER, request, ends=False)
            await taker.cut.wait()
        assert "connection_cut" in {line["event"] for line in logs}


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that asks often whether those on the other side still are."""
    soon = {"grpc.keepalive_time_ms": 500, "grpc.keepalive_timeout_ms": 500, "grpc.http2.ping_timeout_ms": 500}
    monkeypatch.setattr("server.rpc.serving.OPTIONS", [(name, soon.get(name, value)) for name, value in OPTIONS])


async def test_a_peer_that_is_gone_is_noticed_and_one_that_is_quiet_is_left_alone(attentive: None, stubs: Stubs) -> None:
    async with greedy(stubs, 2) as (gone, quiet), asyncio.timeout(SECONDS):
        for each in (gone, quiet):
            await each.call(CLICKS, click_service_pb2.RecordClicksRequest(), ends=False)
            await until(lambda each=each: each.begun)
        await gone.fall_silent()
        assert not quiet.ended
        assert not quiet.cut.is_set()
