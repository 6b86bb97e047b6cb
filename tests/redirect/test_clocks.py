"""Clocks that are wrong: of a front door, of the server. Recipients are redirected, and clicks are kept until they can be counted."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import browsing, counted, journal_of, learn, nothing_waits, path_of, until
from tests.support.server import serving
from tests.support.stubs import Stubs

pytestmark = on_one_database
"""Times are compared before a database is asked."""

HOUR = 3_600_000_000_000
"""In nanoseconds."""


class Clock:
    """A front door's clock, ahead by so many nanoseconds."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead

    def __call__(self) -> int:
        """The time that it shows."""
        return time.time_ns() + self.ahead


class ServerClock:
    """A server's clock, behind by so much."""

    def __init__(self, behind: timedelta) -> None:
        self.behind = behind

    def __call__(self) -> datetime:
        """The time that it shows."""
        return datetime.now(UTC) - self.behind


@pytest.fixture
def front(stubs: Stubs, tmp_path: Path) -> Settings:
    """The settings of a front door before the server of `stubs`."""
    return Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)


async def test_after_a_clock_was_ahead_for_a_moment_clicks_count_at_once(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    clock = Clock(HOUR)
    async with browsing(front, clock) as browser:
        ahead = await browser.get(path)
        clock.ahead = 0
        right = [await browser.get(path) for _ in range(5)]
        assert (await campaign.counts(link.id))[0] == 5
        clock.ahead = -HOUR
        back = await browser.get(path)
        assert (await campaign.counts(link.id))[0] == 6
    assert {each.status_code for each in (ahead, *right, back)} == {302}
    assert not nothing_waits(front)
    assert not (journal_of(front) / "rejected").exists()


async def test_clicks_that_a_server_behind_refuses_are_kept_and_counted_once_its_clock_is_mended(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ServerClock(timedelta(hours=1))
    monkeypatch.setattr("redirect.replay.LATER_SECONDS", 0.01)
    async with serving(database_url, tmp_path, clock) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        paths = [path_of(await campaign.url(link.id, person(number))) for number in range(1, 52)]
        front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
        await learn(front)
        with capture_logs() as logs:
            async with browsing(front) as browser:
                responses = [await browser.get(path) for path in paths]
                await until(lambda: "clicks_kept" in [entry["event"] for entry in logs])
                assert await campaign.counts(link.id) == (0, 0, 0)
                assert not (journal_of(front) / "rejected").exists()
                assert len(list(journal_of(front).glob("*.segment"))) < 5
                clock.behind = timedelta(0)
                await counted(campaign, link.id, 51)
                await until(lambda: nothing_waits(front))
        assert await campaign.counts(link.id) == (51, 51, 0)
    assert {each.status_code for each in responses} == {302}
    told = [entry["event"] for entry in logs]
    assert [told.count(event) for event in ("clicks_ahead", "clock_ahead", "clicks_kept")] == [1, 1, 1], "once a minute"
    assert "server_too_slow" not in told


async def test_a_clock_that_is_ahead_never_makes_a_valid_url_not_found(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link()
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    async with browsing(front, Clock(HOUR)) as browser:
        response = await browser.get(path)
    assert response.status_code in (302, 503)  # whether the snapshot has come to know it or not
