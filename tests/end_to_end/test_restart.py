"""Restarting and stopping the front door under clicks: nobody is refused, and every request that was sent is answered."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from redirect import token
from tests.support.campaign import Campaign, person
from tests.support.house import House, Process
from tests.support.recipients import Browser, Crowd, Refused

WAIT_SECONDS = 20


@pytest.fixture(params=["0"])
async def front(request: pytest.FixtureRequest, sqlite_house: House, anyio_backend: str) -> AsyncIterator[tuple[Process, str]]:
    """A front door of one test's own, one more on the same machine; its parameter is the notice that load balancers get."""
    process, url = sqlite_house.another_front(front_notice_seconds=request.param)
    await asyncio.to_thread(process.start, "event='serving'")
    yield process, url
    await asyncio.to_thread(process.stop)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not true():
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process answers nobody in the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


async def test_two_restarts_amid_clicks_refuse_nobody_and_lose_nothing(sqlite_campaign: Campaign, front: tuple[Process, str]) -> None:
    process, base = front
    link = await sqlite_campaign.link()
    path = (await sqlite_campaign.url(link.id, person(1))).rpartition("/")[2]
    crowds = [Crowd(f"{base}/{path}", 8, False), Crowd(f"{base}/{path}", 8, True), Crowd(f"{base}/{path}", 8, True, pause=0.2)]
    async with crowds[0].clicking(), crowds[1].clicking(), crowds[2].clicking():
        for restart in (1, 2):
            before = process.children
            os.kill(process.pid, signal.SIGHUP)
            await until(lambda: process.logged("event='replaced'") == restart)  # noqa: B023
            await until(lambda: not {*before} & {*process.children})  # noqa: B023
            assert len(process.children) == len(before)
    for crowd in crowds:
        assert (crowd.refused, crowd.unanswered, [*crowd.statuses]) == (0, [], [302])
    assert sum(browser.told_to_close for browser in crowds[1].browsers) >= 8, "those who go on asking are told before they are left"
    assert await sqlite_campaign.counts(link.id) == (sum(crowd.statuses[302] for crowd in crowds), 1, 0)


@pytest.mark.parametrize("front", ["0.5"], indirect=True)
async def test_a_stop_tells_the_load_balancer_first_and_answers_whatever_was_asked(
    sqlite_campaign: Campaign, front: tuple[Process, str]
) -> None:
    process, base = front
    link = await sqlite_campaign.link()
    path = (await sqlite_campaign.url(link.id, person(1))).rpartition("/")[2]
    once, kept, balancer = Crowd(f"{base}/{path}", 4, False), Crowd(f"{base}/{path}", 4, True), Browser(True)
    assert (await balancer.open(f"{base}/readyz"))[0] == 200
    async with once.clicking(), kept.clicking():
        stopping = asyncio.create_task(asyncio.to_thread(process.stop))
        await until(lambda: process.logged("event='stopping'") == 1)
        os.kill(process.pid, signal.SIGINT)  # as ^C does to all of a terminal, and make once more: it changes nothing
        status, headers = await balancer.open(f"{base}/readyz")
        while status == 200:  # the worker is told at the same moment
            status, headers = await balancer.open(f"{base}/readyz")
        assert (status, headers["connection"]) == (503, "close")
        answered = once.statuses[302]
        await until(lambda: once.statuses[302] > answered + 10)
        assert await stopping == 0
    assert once.unanswered == kept.unanswered == []
    assert {*once.statuses, *kept.statuses} == {302}
    assert await sqlite_campaign.counts(link.id) == (once.statuses[302] + kept.statuses[302], 1, 0)
    with pytest.raises(Refused):
        await Browser(False).open(f"{base}/healthz")


async def test_when_a_new_worker_cannot_start_the_old_one_serves_on(sqlite_house: House, front: tuple[Process, str]) -> None:
    process, base = front
    before = process.children
    keys = sqlite_house.directory / "keys.json"
    hidden = keys.rename(keys.with_suffix(".hidden"))
    try:
        os.kill(process.pid, signal.SIGHUP)
        await until(lambda: process.logged("event='not_replaced'") == 1)
    finally:
        hidden.rename(keys)
    assert process.children == before
    assert (await Browser(False).open(f"{base}/readyz"))[0] == 200


async def test_a_new_worker_with_other_keys_than_the_server_takes_the_place_of_none_that_serves(
    sqlite_campaign: Campaign, sqlite_house: House, front: tuple[Process, str]
) -> None:
    process, base = front
    link = await sqlite_campaign.link()
    url = await sqlite_campaign.url(link.id, person(1))
    path = url.rpartition("/")[2]
    await sqlite_house.knows(url)
    before, journals = process.children, [*(sqlite_house.directory / "front" / "journal").glob("*.segment")]
    keys = sqlite_house.directory / "keys.json"
    right = keys.rename(keys.with_suffix(".right"))
    crowd = Crowd(f"{base}/{path}", 8, False)
    try:
        token.create(keys)  # a key file of another installation
        async with crowd.clicking():
            os.kill(process.pid, signal.SIGHUP)
            await until(lambda: process.logged("event='not_replaced'") == 1)
            with stopped(sqlite_house.server.pid):
                os.kill(process.pid, signal.SIGHUP)
                await until(lambda: process.logged("event='not_replaced'") == 2)
                left = [*(sqlite_house.directory / "front" / "journal").glob("*.segment")]
        assert len(left) <= len(journals) + 1, "who is refused leaves no segment; who serves writes to a new one once it replays the other"
        assert (crowd.refused, crowd.unanswered, [*crowd.statuses]) == (0, [], [302])
        assert process.children == before
        (worker,) = before
        os.kill(worker, signal.SIGKILL)  # a dead one is replaced all the same: it may be the server that is wrong
        assert (await Browser(False).open(f"{base}/{path}"))[0] == 404
    finally:
        right.replace(keys)


async def test_when_no_process_can_be_made_the_old_worker_serves_on_and_a_dead_one_is_replaced_later(front: tuple[Process, str]) -> None:
    process, base = front
    (worker,) = process.children
    usual = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (0, usual[1]))  # no file more: no process can be made
    try:
        os.kill(process.pid, signal.SIGHUP)
        await until(lambda: process.logged("event='not_replaced'") == 1)
        assert (await Browser(False).open(f"{base}/readyz"))[0] == 200
        os.kill(worker, signal.SIGKILL)
        await until(lambda: process.logged("event='worker_not_started'") >= 2)
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, usual)
    assert (await Browser(False).open(f"{base}/readyz"))[0] == 200


async def test_a_worker_that_dies_is_replaced_and_workers_end_with_their_front_door(front: tuple[Process, str]) -> None:
    process, base = front
    (worker,) = process.children
    os.kill(worker, signal.SIGKILL)
    assert (await Browser(False).open(f"{base}/readyz"))[0] == 200  # who comes now waits for the next one
    (worker,) = process.children
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: gone(worker))
    with pytest.raises(Refused):
        await Browser(False).open(f"{base}/healthz")


async def test_what_is_stored_can_be_read_by_its_owner_only(
    sqlite_house: House, sqlite_campaign: Campaign, front: tuple[Process, str]
) -> None:
    await sqlite_campaign.link()
    stored = [path for path in sqlite_house.directory.rglob("*") if path.is_file()]
    assert {path.suffix for path in stored} >= {".db", ".segment", ".json"}
    assert [path.name for path in stored if path.stat().st_mode & 0o077] == []
