"""Segments of the journal that were cut or have changed: what can be read is counted, and nothing of it vanishes without a word."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from redirect.segments import SECTOR_BYTES, frame, frames_of
from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.cli import run
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, counted, journal_of, learn, nothing_waits, opened, path_of, until
from tests.support.stubs import Stubs

CLICKS = 5


def ends_of(stored: bytes) -> list[int]:
    """Where each click of a segment ends."""
    ends = [0]
    for content in frames_of(stored).contents:
        ends.append(ends[-1] + len(frame(content)))
    return ends[1:]


def cut_to_what_is_written(stored: bytearray) -> bytes:
    return bytes(stored).rstrip(b"\0")


def cut_between_clicks(stored: bytearray) -> bytes:
    return bytes(stored[: ends_of(bytes(stored))[2]])


def cut_in_a_click(stored: bytearray) -> bytes:
    return bytes(stored[: ends_of(bytes(stored))[2] + 20])


def cut_to_nothing(stored: bytearray) -> bytes:
    return b""


def grown(stored: bytearray) -> bytes:
    return bytes(stored) + b"\0"


def flip_in_the_last(stored: bytearray) -> bytes:
    stored[ends_of(bytes(stored))[-1] - 3] ^= 4
    return bytes(stored)


def flip_the_last_mark(stored: bytearray) -> bytes:
    stored[ends_of(bytes(stored))[-2]] ^= 4
    return bytes(stored)


def write_behind(stored: bytearray) -> bytes:
    stored[ends_of(bytes(stored))[-1]] = 7
    return bytes(stored)


def write_far_behind(stored: bytearray) -> bytes:
    stored[-1] = 7
    return bytes(stored)


def tear_the_last(stored: bytearray) -> bytes:
    start, end = ends_of(bytes(stored))[-2:]
    stored[start + 30 : end] = bytes(end - start - 30)
    return bytes(stored)


def lose_a_sector_of_the_last(stored: bytearray) -> bytes:
    start, end = ends_of(bytes(stored))[-2:]
    sector = (start // SECTOR_BYTES + 1) * SECTOR_BYTES
    assert sector < end, "the last click is to lie in two sectors"
    stored[start:sector] = bytes(sector - start)
    return bytes(stored)


@on_one_database
@pytest.mark.parametrize(
    ("change", "read", "is_damage"),
    [
        (cut_to_what_is_written, 5, True),
        (cut_between_clicks, 3, True),
        (cut_in_a_click, 3, True),
        (cut_to_nothing, 0, True),
        (grown, 5, True),
        (flip_in_the_last, 4, True),
        (flip_the_last_mark, 4, True),
        (write_behind, 5, True),
        (write_far_behind, 5, True),
        (tear_the_last, 4, False),
        (lose_a_sector_of_the_last, 4, False),
    ],
)
async def test_what_can_be_read_is_counted_and_what_was_damaged_is_kept_and_told(
    stubs: Stubs, tmp_path: Path, change: Callable[[bytearray], bytes], read: int, is_damage: bool
) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    async with browsing(front.model_copy(update={"server": NOWHERE})) as browser:
        for _ in range(CLICKS):
            await browser.get(path, headers={"user-agent": "A" * 400})
    (segment,) = journal_of(front).glob("*.segment")
    segment.write_bytes(changed := change(bytearray(segment.read_bytes())))
    with capture_logs() as logs:
        async with browsing(front):
            await counted(campaign, link.id, read)
            await until(lambda: not segment.exists())
    told = [entry["read"] for entry in logs if entry["event"] == "journal_segment_damaged"]
    kept = [each.read_bytes() for each in (journal_of(front) / "damaged").glob("*")]
    assert (told, kept) == (([read], [changed]) if is_damage else ([], []))
    assert await campaign.counts(link.id) == (read, min(read, 1), 0)
    if is_damage:
        doctor = await run(stubs, "doctor", "--front", "http://127.0.0.1:1", "--directory", tmp_path)
        assert "1 damaged segment, in damaged/" in doctor.stdout


@on_one_database
async def test_a_segment_that_an_operator_makes_of_rejected_clicks_is_as_long_as_they_are(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    await opened(front.model_copy(update={"server": NOWHERE}), [path] * 3)
    (segment,) = journal_of(front).glob("*.segment")
    frames = [frame(content) for content in frames_of(segment.read_bytes()).contents]
    segment.unlink()
    (journal_of(front) / "again.segment").write_bytes(b"".join(frames))
    async with browsing(front):
        await counted(campaign, link.id, 3)
        await until(lambda: nothing_waits(front))
    assert not (journal_of(front) / "damaged").exists()


def test_random_bytes_are_damage_or_nothing_and_never_a_click() -> None:
    chance = random.Random(5)
    for _ in range(300):
        stored = bytearray(chance.randbytes(chance.randint(0, 3000)) + bytes(chance.randint(0, 3000)))
        found = frames_of(bytes(stored))
        assert not found.contents
        assert bool(found.damaged) == bool(stored.rstrip(b"\0"))
