"""Killing the server in the middle of clicks: none that was answered is lost, and none is counted twice. And stopping it."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.house import House
from trackedlinks.v1 import click_service_pb2

CLICKS = 1000
KILLS_AFTER = (150, 450, 750)
"""Answered clicks after which the server is killed."""


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A house of one test's own, since it is killed or stopped."""
    opened = House(tmp_path / "var", database_url)
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


async def test_killing_the_server_amid_a_thousand_clicks_loses_and_doubles_none(campaign: Campaign, house: House) -> None:
    link = await campaign.link()
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    _, minted = await campaign.mail(html, [person(number) for number in range(1, CLICKS + 1)])
    answered: set[int] = set()
    progress = asyncio.Event()
    tries = kills = 0

    async def kill() -> None:
        nonlocal kills
        for threshold in KILLS_AFTER:
            while len(answered) < threshold:
                progress.clear()
                await progress.wait()
            await asyncio.to_thread(house.server.kill)
            kills += 1
            await asyncio.to_thread(house.server.start, "event='serving'")

    async def click(number: int) -> None:
        """Clicks as a recipient does: with a browser of one's own (one pool of a thousand takes 8 s), again when the page says so."""
        nonlocal tries
        async with httpx2.AsyncClient(timeout=60) as browser:
            while True:
                tries += 1
                response = await browser.get(minted[number][0])
                if response.status_code == 302:
                    break
                assert response.status_code == 503
                assert response.headers["retry-after"]
            answered.add(number)
            progress.set()

    async with asyncio.TaskGroup() as tasks:
        killer = tasks.create_task(kill())
        await asyncio.gather(*(click(number) for number in range(CLICKS)))
        await killer

    assert kills == len(KILLS_AFTER)
    house.wait_ready()
    clicks, clickers, suspected = await campaign.counts(link.id)
    assert (clickers, suspected) == (CLICKS, 0)
    # A page that said "try again" may stand for a click that was stored all the same: one more click, never one less.
    assert CLICKS <= clicks <= tries
    found = {clicker.recipient.person_id: clicker.clicks for clicker in await every_clicker(campaign, link.id)}
    assert sorted(found) == list(range(1, CLICKS + 1))
    assert sum(found.values()) == clicks


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
