"""A proxy that sends a request again, to another front door: it is the same click when the proxy is trusted, and another one otherwise."""

import time
from collections.abc import Iterable
from pathlib import Path

import httpx2
import pytest

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, counted, learn, path_of
from tests.support.stubs import Stubs

pytestmark = on_one_database
"""Click ids are made before a database is asked."""

NAME = "b14c2c1d8a5f4e0c9e3d7b6a5f4e3d2c"
"""As nginx makes it."""

SECOND = 1_000_000_000


@pytest.fixture
def front(stubs: Stubs, tmp_path: Path) -> Settings:
    """The settings of a front door behind a proxy that it trusts."""
    return Settings(server=stubs.address, directory=tmp_path, commit_seconds=20, trust_request_id=True)


def named(name: str = NAME, seconds_ago: float = 0.5) -> dict[str, str]:
    """The headers of a request that the proxy had so long ago."""
    return {"x-request-id": name, "x-request-start": f"{time.time() - seconds_ago:.3f}"}


async def ask(front: Settings, paths: Iterable[str], headers: dict[str, str], ahead: int = 0) -> list[httpx2.Response]:
    """What another front door, whose clock is ahead by so many seconds, answers to a request with these headers."""
    async with browsing(front, lambda: time.time_ns() + ahead * SECOND) as browser:
        return [await browser.get(path, headers=headers) for path in paths]


async def test_the_same_request_at_two_front_doors_counts_once(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link, other = await campaign.link(url="https://example.com/"), await campaign.link()
    path, other_path = [path_of(await campaign.url(each.id, person(1))) for each in (link, other)]
    headers = named()
    first, again = await ask(front, [path], headers), await ask(front, [path, other_path], headers, ahead=2)
    assert [each.headers["location"] for each in (*first, *again)] == ["https://example.com/"] * 3
    assert await campaign.counts(link.id) == (1, 1, 0)
    assert await campaign.counts(other.id) == (1, 1, 0), "another token is another click"
    await ask(front, [path], named("another-request"))
    await ask(front, [path], headers | {"x-request-start": f"{float(headers['x-request-start']) + 0.001:.3f}"})
    assert await campaign.counts(link.id) == (3, 1, 0)


async def test_a_click_in_the_journal_of_a_front_door_that_died_is_the_same_as_its_retry(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    headers = named()
    await ask(front.model_copy(update={"server": NOWHERE}), [path], headers)
    async with browsing(front) as browser:
        await browser.get(path, headers=headers)
        await browser.get(path)
        await counted(campaign, link.id, 2)
    assert await campaign.counts(link.id) == (2, 1, 0)


async def test_nobody_is_trusted_unless_it_is_set(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await ask(front.model_copy(update={"trust_request_id": False}), [path, path], named())
    assert await campaign.counts(link.id) == (2, 1, 0)
