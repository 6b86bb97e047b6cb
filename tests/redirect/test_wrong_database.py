"""A server on a wrong database, as after a restore or without its disk: minted tokens lead where they did, and clicks are kept."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import browsing, counted, journal_of, learn, nothing_waits, path_of, until
from tests.support.server import serving
from tests.support.special import sent
from tests.support.stubs import Stubs

pytestmark = on_one_database
"""What the server says is the same on both."""


def copy(source: Path, to: Path) -> str:
    """A copy of an SQLite database as it is now; its URL."""
    with contextlib.closing(sqlite3.connect(source)) as before, contextlib.closing(sqlite3.connect(to)) as after:
        before.backup(after)
    return f"sqlite:///{to}"


async def test_what_the_snapshot_knows_a_server_on_a_wrong_database_does_not_undo(
    stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redirect.replay.LATER_SECONDS", 0.01)
    before = copy(tmp_path / "test.db", tmp_path / "before.db")
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/")
    paths = [path_of(await campaign.url(link.id, person(number))) for number in range(1, 11)]
    mail = await sent(campaign, person(1))
    right = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(right)
    async with serving(before, tmp_path) as other:
        wrong = right.model_copy(update={"server": other.address})
        with capture_logs() as logs:
            async with browsing(wrong) as browser:
                responses = [await browser.get(path) for path in paths]
                special = [await browser.get(path) for path in (mail.unsubscribe, mail.manage, mail.online)]
                special += [await browser.post(mail.header, data={"List-Unsubscribe": "One-Click"})]
                nowhere = [await browser.get(paths[0][:-2] + "xA"), await browser.get(mail.manage + "/renewal")]
                no_form = await browser.post(paths[0], data={"List-Unsubscribe": "One-Click"})
                await until(lambda: "clicks_kept" in [entry["event"] for entry in logs])
                await until(lambda: not nothing_waits(wrong))
    assert {(each.status_code, each.headers.get("location")) for each in responses} == {(302, "https://example.com/")}
    assert [each.status_code for each in special] == [503] * 4
    assert [each.status_code for each in (*nowhere, no_form)] == [404] * 3
    told = [entry["event"] for entry in logs]
    assert [told.count(event) for event in ("placement_unknown_to_server", "clicks_kept")] == [1, 1], "once a minute"
    assert not (journal_of(right) / "rejected").exists()
    assert await campaign.counts(link.id) == (0, 0, 0)
    async with browsing(right):
        await counted(campaign, link.id, 10)
        await until(lambda: nothing_waits(right))
    assert await campaign.counts(link.id) == (10, 10, 0)
