"""The journal and the snapshot: what recipients get and what is counted when the server, its database or a disk is away."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from redirect.segments import SEGMENT_BYTES, Segment, frames_of
from redirect.settings import Settings
from redirect.snapshot import Known, Snapshot
from tests.support.campaign import Campaign, person
from tests.support.cli import run
from tests.support.databases import on_one_database
from tests.support.front import (
    NOWHERE,
    SECONDS,
    browsing,
    completed,
    counted,
    journal_of,
    leads_to,
    learn,
    nothing_waits,
    opened,
    path_of,
    until,
)
from tests.support.server import serving
from tests.support.special import sent
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    embedded_crm_service_pb2,
    link_pb2,
    link_service_pb2,
    script_pb2,
    script_service_pb2,
)

pytestmark = on_one_database
"""The front door knows no database."""

DAY = 86_400_000_000_000
"""In nanoseconds."""


@pytest.fixture
def front(stubs: Stubs, tmp_path: Path) -> Settings:
    """The settings of a front door before the server of `stubs`."""
    return Settings(server=stubs.address, directory=tmp_path, commit_seconds=SECONDS)


@pytest.fixture
def away(front: Settings) -> Settings:
    """The settings of the same front door, for which the server is away."""
    return front.model_copy(update={"server": NOWHERE})


async def test_clicks_while_the_server_is_away_are_redirected_and_counted_once_when_it_is_back(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/a b#ø")
    paths = [path_of(await campaign.url(link.id, person(number))) for number in range(1, 11)]
    await learn(front)
    async with browsing(away) as browser:
        responses = [await browser.get(path) for path in paths * 2]
        ready = await browser.get("/readyz")
    assert {(each.status_code, each.headers["location"]) for each in responses} == {(302, "https://example.com/a%20b#%C3%B8")}
    assert ready.status_code == 200
    assert await campaign.counts(link.id) == (0, 0, 0)
    async with browsing(front):
        await counted(campaign, link.id, 20)
        await until(lambda: nothing_waits(front))
    assert await campaign.counts(link.id) == (20, 10, 0)


async def test_no_user_agent_of_who_is_not_to_be_tracked_is_written_on_the_front_doors_disk(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    paths = [path_of(await campaign.url(link.id, person(number, do_not_track=number == 1))) for number in (1, 2)]
    await learn(front)
    async with browsing(away) as browser:
        for path in paths:
            await browser.get(path, headers={"user-agent": f"Rare{path}"})
    written = b"".join(path.read_bytes() for path in (front.directory / "front").rglob("*") if path.is_file())
    assert f"Rare{paths[1]}".encode() in written
    assert f"Rare{paths[0]}".encode() not in written
    async with browsing(front):
        await counted(campaign, link.id, 2)
    assert await campaign.counts(link.id) == (2, 1, 0)


async def test_what_a_click_makes_happen_happens_once_when_it_is_replayed(stubs: Stubs, front: Settings, away: Settings) -> None:
    campaign = Campaign(stubs)
    kari = await campaign.person("Kari")
    draft = script_pb2.Script(name="S", source='print("ran")')
    script = await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=draft))
    every = link_pb2.REPEAT_POLICY_EVERY_CLICK
    actions = [
        link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id)),
        link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help"), repeat_policy=every),
    ]
    link = await campaign.link(actions=actions)
    path = path_of(await campaign.url(link.id, person(kari)))
    await learn(front)
    await opened(away, [path, path])
    async with browsing(front):
        await counted(campaign, link.id, 2)
        await until(lambda: nothing_waits(front))
    requests = await stubs.embedded_crm.ListServiceRequests(embedded_crm_service_pb2.ListServiceRequestsRequest())
    assert len(requests.service_requests) == 2
    runs = await stubs.actions.ListActionRuns(action_service_pb2.ListActionRunsRequest(link_id=link.id))
    assert [run.state for run in runs.action_runs] == [click_pb2.ACTION_STATE_DONE] * 4
    assert sorted(run.log for run in runs.action_runs) == ["", "", "ran\n", "ran\n"]


async def test_a_front_door_leaves_the_clicks_of_a_living_one_alone_and_takes_over_those_of_a_dead_one(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    async with browsing(away) as first:
        await first.get(path)
        async with browsing(front) as second:
            await second.get(path)
            held = [len(frames_of(each.read_bytes()).contents) for each in sorted(journal_of(front).glob("*.segment"))]
        assert await campaign.counts(link.id) == (1, 1, 0)
        assert held == [1, 0]
    async with browsing(front):
        await counted(campaign, link.id, 2)


async def test_a_placement_that_the_front_door_has_never_seen_says_try_again_and_its_click_is_counted_all_the_same(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    await learn(front)
    link = await campaign.link()
    (response,) = await opened(away, [path_of(await campaign.url(link.id, person(1)))])
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    async with browsing(front):
        await counted(campaign, link.id, 1)


async def test_pages_forms_and_merge_fields_are_shown_without_what_only_the_server_knows(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    text = await campaign.link("T", text="<p>Hi {{recipient.name}}, {{link.name}}</p>")
    form = await campaign.link("F", form=link_pb2.Form(url="https://example.com/?e={{recipient.email}}"))
    paths = [path_of(await campaign.url(each.id, person(1))) for each in (text, form)]
    await learn(front)
    page, redirect = await opened(away, paths)
    assert page.status_code == 200
    assert "<p>Hi , T</p>" in page.text
    assert redirect.headers["location"] == "https://example.com/?e="


async def test_an_edited_link_leads_to_its_new_url_while_the_server_is_away(stubs: Stubs, front: Settings, away: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/old")
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    link.redirect.url = "https://example.com/new"
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link))
    snapshot = Snapshot(front.directory / "front" / "snapshot.db")
    async with browsing(front):
        await leads_to(snapshot, "https://example.com/new")
    await snapshot.close()
    (response,) = await opened(away, [path])
    assert response.headers["location"] == "https://example.com/new"


async def test_a_special_link_is_no_click_and_needs_the_server(stubs: Stubs, front: Settings, away: Settings) -> None:
    mail = await sent(Campaign(stubs), person(1))
    await learn(front)
    responses = await opened(away, [mail.unsubscribe, mail.manage, mail.online])
    assert [each.status_code for each in responses] == [503] * 3
    assert [frames_of(path.read_bytes()).contents for path in journal_of(away).glob("*.segment")] == []


async def test_a_click_that_the_server_refuses_for_good_is_redirected_and_kept_apart(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    async with browsing(front, lambda: time.time_ns() - 31 * DAY) as browser:
        response = await browser.get(path)
        await until(lambda: list((journal_of(front) / "rejected").glob("*.frame")))
    assert response.status_code == 302
    (kept,) = (journal_of(front) / "rejected").glob("*.frame")
    assert [path[1:].encode() in content for content in frames_of(kept.read_bytes()).contents] == [True]
    assert await campaign.counts(link.id) == (0, 0, 0)


async def test_a_journal_that_cannot_be_written_turns_recipients_away_and_counts_nothing(
    stubs: Stubs, front: Settings, away: Settings
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    journal = journal_of(away)
    for left in journal.iterdir():
        left.unlink()
    journal.rmdir()
    journal.write_text("not a folder")
    (response,) = await opened(away, [path])
    assert response.status_code == 503
    journal.unlink()
    async with browsing(front) as browser:
        assert (await browser.get(path)).status_code == 302
    assert await campaign.counts(link.id) == (1, 1, 0)


async def test_a_full_journal_takes_no_more(stubs: Stubs, front: Settings, away: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    small = away.model_copy(update={"journal_mebibytes": 32})
    held = [Segment.create(journal_of(away)) for _ in range((32 << 20) // SEGMENT_BYTES)]
    with capture_logs() as logs:
        async with browsing(small) as browser:
            full = [(await browser.get(path)).status_code for _ in range(20)]
            for segment in held:
                segment.remove()
            again = (await browser.get(path)).status_code
    assert (full, again) == ([503] * 20, 302)
    told = [(entry["event"], entry.get("turned_away")) for entry in logs if entry["event"].startswith("journal_")]
    assert told == [("journal_failed", None), ("journal_failed", 1), ("journal_stores_again", 20)], "one line, not one for each click"


async def test_damage_in_the_journal_costs_one_click_and_is_kept_to_look_at(stubs: Stubs, front: Settings, away: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    await opened(away, [path] * 5)
    (segment,) = journal_of(away).glob("*.segment")
    stored = bytearray(segment.read_bytes())
    stored[len(frames_of(bytes(stored)).contents[0]) + 30] ^= 1
    segment.write_bytes(stored)
    async with browsing(front):
        await counted(campaign, link.id, 4)
        await until(lambda: list((journal_of(front) / "damaged").glob("*.segment")))
    assert await campaign.counts(link.id) == (4, 1, 0)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # Linux answers EIO to whoever reads its beginning


@pytest.mark.parametrize("make", [make_folder, make_loop, make_unreadable])
async def test_a_segment_that_cannot_be_read_keeps_no_other_from_the_server(
    stubs: Stubs, front: Settings, away: Settings, make: Callable[[Path], None]
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    await opened(away, [path] * 3)
    make(journal_of(front) / "0.segment")
    async with browsing(front):
        await counted(campaign, link.id, 3)
        await until(lambda: len(list(journal_of(front).glob("*.segment"))) == 2)
    assert os.path.lexists(journal_of(front) / "0.segment")


@pytest.mark.parametrize("garbage", [b"", b"x" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_snapshot_is_told_anew(stubs: Stubs, front: Settings, away: Settings, garbage: bytes) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    for suffix in ("-wal", "-shm"):
        (front.directory / "front" / f"snapshot.db{suffix}").unlink(missing_ok=True)
    (front.directory / "front" / "snapshot.db").write_bytes(garbage)
    (before,) = await opened(away, [path])
    await learn(front)
    (after,) = await opened(away, [path])
    assert (before.status_code, after.status_code) == (503, 302)


async def test_a_snapshot_with_a_position_that_no_server_knows_is_told_anew(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/old")
    await campaign.url(link.id, person(1))
    await learn(front)
    with contextlib.closing(sqlite3.connect(front.directory / "front" / "snapshot.db")) as connection:
        connection.execute("UPDATE state SET position = 'damaged'")
        connection.commit()
    link.redirect.url = "https://example.com/new"
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link))
    snapshot = Snapshot(front.directory / "front" / "snapshot.db")
    async with browsing(front):
        await leads_to(snapshot, "https://example.com/new")
    await snapshot.close()


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), ("",)])
async def test_a_snapshot_that_is_removed_while_the_front_door_runs_is_told_anew(
    stubs: Stubs, front: Settings, suffixes: Sequence[str]
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    await campaign.url(link.id, person(1))
    path = front.directory / "front" / "snapshot.db"
    snapshot = Snapshot(path)
    async with browsing(front):
        await completed(snapshot)
        for suffix in suffixes:
            path.with_name(path.name + suffix).unlink()
        assert not await snapshot.complete()
        await completed(snapshot)
        assert await snapshot.answer(1) is not None
    await snapshot.close()


async def test_an_answer_whose_bytes_have_changed_sends_nobody_anywhere(stubs: Stubs, front: Settings, away: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/")
    path = path_of(await campaign.url(link.id, person(1)))
    await learn(front)
    with contextlib.closing(sqlite3.connect(front.directory / "front" / "snapshot.db")) as connection:
        connection.execute("UPDATE answer SET content = CAST(replace(content, 'example.com', 'evil.exampl') AS BLOB)")
        connection.commit()
    (response,) = await opened(away, [path])
    assert response.status_code == 503


async def test_more_clicks_than_the_server_takes_are_all_redirected_and_counted(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, most_waiting_clicks=1) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=0.25)
        paths = [path_of(await campaign.url(link.id, person(number))) for number in range(1, 201)]
        await learn(front)
        async with browsing(front) as browser:
            responses = await asyncio.gather(*(browser.get(path) for path in paths))
            assert {each.status_code for each in responses} == {302}
            await counted(campaign, link.id, 200)
        assert await campaign.counts(link.id) == (200, 200, 0)


async def test_clicks_while_the_database_is_locked_are_redirected_and_counted_later(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        front = Settings(server=stubs.address, directory=tmp_path)
        paths = [path_of(await campaign.url(link.id, person(number))) for number in range(1, 21)]
        await learn(front)
        async with browsing(front) as browser:
            with contextlib.closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                responses = [await browser.get(each) for each in paths]
            assert {each.status_code for each in responses} == {302}
            await counted(campaign, link.id, 20)
            assert (await browser.get(paths[0])).status_code == 302
            await counted(campaign, link.id, 21)
        assert await campaign.counts(link.id) == (21, 20, 0)


@pytest.mark.parametrize("misses_before", [0, 5])
async def test_where_only_the_server_knows_what_there_is_a_recipient_waits_for_it_longer(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misses_before: int
) -> None:
    async with serving(database_url, tmp_path) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        known = path_of(await campaign.url(link.id, person(1)))
        front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=0.05)
        await learn(front)
        new = await campaign.link(url="https://example.com/new")
        path = path_of(await campaign.url(new.id, person(1)))
        forget(monkeypatch, 2)
        async with browsing(front) as browser:
            with contextlib.closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                before = [(await browser.get(known)).status_code for _ in range(misses_before)]
                asyncio.get_running_loop().call_later(0.5, other.rollback)
                response = await browser.get(path)
            assert before == [302] * misses_before
            assert (response.status_code, response.headers["location"]) == (302, "https://example.com/new")
            await counted(campaign, new.id, 1)
            await until(lambda: nothing_waits(front))
        assert await campaign.counts(new.id) == (1, 1, 0)


def forget(monkeypatch: pytest.MonkeyPatch, unknown: int) -> None:
    """Has no snapshot know the placement."""
    answer = Snapshot.answer

    async def known(self: Snapshot, placement_id: int) -> Known | None:
        return None if placement_id == unknown else await answer(self, placement_id)

    monkeypatch.setattr(Snapshot, "answer", known)


async def test_the_doctor_tells_what_waits_and_what_was_refused(stubs: Stubs, front: Settings, away: Settings) -> None:
    link = await Campaign(stubs).link()
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    await learn(front)
    arguments = ("doctor", "--front", "http://127.0.0.1:1", "--directory", front.directory)
    nothing = journal_row((await run(stubs, *arguments)).stdout)
    await opened(away, [path] * 3)
    some = journal_row((await run(stubs, *arguments)).stdout)
    (journal_of(front) / "rejected").mkdir()
    (journal_of(front) / "rejected" / "1.frame").touch()
    refusals = journal_row((await run(stubs, *arguments)).stdout)
    assert nothing.endswith("empty")
    assert f"3 clicks wait for the server since {datetime.now(UTC):%Y-}" in some
    assert refusals.endswith("; 1 refused for good, in rejected/")


async def test_the_doctor_tells_of_the_journal_without_a_server(stubs: Stubs, front: Settings) -> None:
    await learn(front)
    nobody = Stubs(NOWHERE)
    result = await run(nobody, "doctor", "--front", "http://127.0.0.1:1", "--directory", front.directory)
    await nobody.channel.close()
    assert result.exit_code == 1
    assert f"server {NOWHERE} cannot be reached" in " ".join(result.stdout.split())
    assert journal_row(result.stdout).endswith("empty")


def journal_row(output: str) -> str:
    (row,) = [line for line in output.splitlines() if line.startswith("journal")]
    return row.rstrip()
