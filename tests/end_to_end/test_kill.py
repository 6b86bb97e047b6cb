"""Killing and restarting the server in the middle of clicks: nobody is turned away, none is lost, and none is counted twice."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.house import House
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2

CLICKS = 1000
FAULTS_AFTER = (150, 450, 750)
"""Answered clicks after which something befalls the server."""


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A house of one test's own, since it is killed or stopped."""
    opened = House(tmp_path / "var", database_url)
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


async def kill(house: House) -> None:
    await asyncio.to_thread(house.server.kill)
    await asyncio.to_thread(house.server.start, "event='serving'")


async def restart(house: House) -> None:
    assert await asyncio.to_thread(house.server.stop) == 0
    await asyncio.to_thread(house.server.start, "event='serving'")


@pytest.mark.parametrize(("fault", "database_url"), [(kill, "postgresql"), (restart, "sqlite")], indirect=["database_url"])
async def test_whatever_befalls_the_server_amid_a_thousand_clicks_none_is_lost_or_doubled_and_nobody_is_turned_away(
    campaign: Campaign, house: House, fault: Callable[[House], Awaitable[None]]
) -> None:
    link = await campaign.link()
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    _, minted = await campaign.mail(html, [person(number) for number in range(1, CLICKS + 1)])
    await house.knows(minted[0][0])
    answered = 0
    faults = 0
    connections = asyncio.Semaphore(50)
    progress = asyncio.Event()

    async def befall() -> None:
        nonlocal faults
        for threshold in FAULTS_AFTER:
            while answered < threshold:
                progress.clear()
                await progress.wait()
            await fault(house)
            faults += 1

    async def click(number: int) -> None:
        """Clicks as a recipient does: with a browser of one's own (one pool of a thousand takes 8 s)."""
        nonlocal answered
        async with connections, httpx2.AsyncClient(timeout=60) as browser:
            response = await browser.get(minted[number][0])
        assert response.status_code == 302
        answered += 1
        progress.set()

    async with asyncio.TaskGroup() as tasks:
        befalling = tasks.create_task(befall())
        await asyncio.gather(*(click(number) for number in range(CLICKS)))
        await befalling

    assert faults == len(FAULTS_AFTER)
    async with asyncio.timeout(60):
        while (await campaign.counts(link.id))[0] < CLICKS:
            await asyncio.sleep(0.05)
    assert await campaign.counts(link.id) == (CLICKS, CLICKS, 0)
    found = {clicker.recipient.person_id: clicker.clicks for clicker in await every_clicker(campaign, link.id)}
    assert found == dict.fromkeys(range(1, CLICKS + 1), 1)


async def every_clicker(campaign: Campaign, link_id: int) -> list[Any]:
    clickers: list[Any] = []
    page_token = ""
    while True:
        request = click_service_pb2.ListClickersRequest(link_id=link_id, page_size=1000, page_token=page_token)
        page = await campaign.stubs.clicks.ListClickers(request)
        clickers += page.clickers
        page_token = page.next_page_token
        if not page_token:
            return clickers


@on_one_database
async def test_a_server_with_an_idle_stream_stops_at_once(house: House, campaign: Campaign) -> None:
    await campaign.stubs.channel.close()
    assert house.server.stop() == 0
    stopping = [line for line in house.server.lines if "event='stopp" in line]
    first, last = (datetime.fromisoformat(line.split("'")[1]) for line in stopping)
    assert last - first < timedelta(seconds=5), "the drain of 10 seconds was waited for"


@on_one_database
async def test_a_server_that_stops_says_so_first_and_serves_on_for_as_long_as_it_was_told(database_url: str, tmp_path: Path) -> None:
    house = House(tmp_path / "var", database_url, notice_seconds="2")
    house.server.start("event='serving'")
    stubs = Stubs(house.address)
    try:
        health = health_pb2_grpc.HealthStub(stubs.channel)
        stopping = asyncio.create_task(asyncio.to_thread(house.server.stop))
        async with asyncio.timeout(20):
            while (await health.Check(health_pb2.HealthCheckRequest())).status != health_pb2.HealthCheckResponse.NOT_SERVING:
                await asyncio.sleep(0.01)
        assert (await Campaign(stubs).link()).id == 1
        assert await stopping == 0
    finally:
        await stubs.channel.close()
        house.stop()
