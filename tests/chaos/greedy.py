"""Clients that ask the server for much and take nothing: its memory stays bounded, and others are served meanwhile."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc

from server.store.database import Database
from server.store.migrate import migrate
from tests.chaos.frame import Run
from tests.chaos.slow_clients import megabytes
from tests.support.campaign import Campaign, person
from tests.support.greedy import Greedy
from tests.support.house import House
from tests.support.recipients import Crowd
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

CONNECTIONS = 5
SECONDS = 3.5
"""How long an attack goes on after all of it was sent."""

PATIENT_SECONDS = 10.0
"""How long somebody else waits for a list at most."""

MOST_MORE = 1000
"""Megabytes that the server may take besides: its rooms have 256 MiB, of which each byte costs three or four while an answer is made."""

MOST_KEPT = 100
"""Megabytes that it may keep afterwards."""

LARGE = link_service_pb2.ListLinksRequest(page_size=1000)


async def greedy_clients(run: Run) -> None:
    """300 lists, 400 streams of messages and 190 watches that nobody reads, and 200 streams of clicks that are opened and left."""
    url = f"sqlite:///{run.folder / 'chaos.db'}"
    database = Database(url)
    migrate(database)
    database.close()
    house = House(run.folder / "var", url)
    stubs = Stubs(house.address)
    try:
        await asyncio.to_thread(house.start)
        campaign = Campaign(stubs)
        mailing_id = await _fill(campaign)
        link = await campaign.link()
        address = await campaign.url(link.id, person(1))
        await stubs.links.ListLinks(LARGE)
        before, most = megabytes([house.server.pid]), 0.0
        crowd = Crowd(address, 2, keeps=True, pause=0.02)
        async with crowd.clicking():
            for name, (number, call) in _attacks(mailing_id).items():
                lists, peak = await _attack(house, stubs, number, call)
                most = max(most, peak)
                run.remarks.append(f"{name}: +{peak - before:.0f} MB, {lists} lists")
                run.expect(lists > 0, f"{name}: no list of anybody else was answered")
            clicks = Stubs(house.address)
            watch = clicks.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest())
            run.expect(bool((await watch.read()).position), "a front door was told nothing")
            await clicks.channel.close()
        kept = await _settled(house.server.pid, before)
        run.remarks.append(f"kept {kept - before:.0f} MB of {before:.0f}")
        run.expect(most - before < MOST_MORE, f"{most - before:.0f} MB more under attack")
        run.expect(kept - before < MOST_KEPT, f"{kept - before:.0f} MB more afterwards")
        run.expect([*crowd.statuses] == [302] and not crowd.unanswered, f"{crowd.statuses}, {len(crowd.unanswered)} unanswered")
        run.expect(house.server.logged("event='refused'") < 30, "each refusal has a line of its own")
    finally:
        await stubs.channel.close()
        await asyncio.to_thread(house.stop)


def _attacks(mailing_id: int) -> dict[str, tuple[int, Callable[[Greedy], Any]]]:
    recipients = [mailing_pb2.Recipient(person_id=number + 1) for number in range(1000)]
    render = mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing_id, recipients=recipients)
    service = "trackedlinks.v1"
    return {
        "lists": (300, lambda greedy: greedy.call(f"{service}.LinkService/ListLinks", LARGE)),
        "messages": (400, lambda greedy: greedy.call(f"{service}.MailingService/RenderMessages", render, ends=False)),
        "watches": (
            190,
            lambda greedy: greedy.call(f"{service}.ClickService/WatchPlacements", click_service_pb2.WatchPlacementsRequest()),
        ),
        "clicks": (
            200,
            lambda greedy: greedy.call(f"{service}.ClickService/RecordClicks", click_service_pb2.RecordClicksRequest(), ends=False),
        ),
    }


async def _attack(house: House, stubs: Stubs, number: int, call: Callable[[Greedy], Any]) -> tuple[int, float]:
    """How many lists were answered to somebody else meanwhile, and how much memory the server had at most."""
    lists, most, over, answered = 0, 0.0, asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        nonlocal lists, most
        while not over.is_set():
            most = max(most, megabytes([house.server.pid]))
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=5), timeout=PATIENT_SECONDS)
                lists += 1
                answered.set()
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    async with contextlib.AsyncExitStack() as stack:
        takers = [await stack.enter_async_context(Greedy(house.server_port)) for _ in range(CONNECTIONS)]
        for index in range(number):
            await call(takers[index % CONNECTIONS])
        await asyncio.sleep(SECONDS)
        with contextlib.suppress(TimeoutError):  # on a busy machine the first one takes longer
            async with asyncio.timeout(PATIENT_SECONDS):
                await answered.wait()
        over.set()
        await asking
    return lists, most


async def _fill(campaign: Campaign) -> int:
    """Links of which a list is as large as lists may be, and a mailing that uses them; its id."""
    drafts = [link_pb2.Link(name=f"L{number}", custom_text=link_pb2.CustomText(html=f"{number}" + "x" * 30_000)) for number in range(120)]
    links: list[link_pb2.Link] = []
    for start in range(0, len(drafts), 60):
        request = link_service_pb2.BatchCreateLinksRequest(links=drafts[start : start + 60])
        links += (await campaign.stubs.links.BatchCreateLinks(request)).links
    mailing = await campaign.mailing()
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in links * 10)
    await campaign.track(mailing.id, html.encode())
    return int(mailing.id)


async def _settled(pid: int, before: float) -> float:
    """The server's memory once it has given back what it does not need, or has not for ten seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while megabytes([pid]) - before >= 0.7 * MOST_KEPT:
                await asyncio.sleep(0.25)
    return megabytes([pid])
