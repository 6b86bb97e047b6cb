"""A recipient who is not to be tracked is counted, and written nowhere: not in the journal either, nor beside it."""

from collections.abc import Sequence
from pathlib import Path

from redirect import token
from redirect.segments import frames_of
from redirect.settings import Settings
from tests.support.actions import interests, set_field
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, counted, journal_of, learn, nothing_waits, path_of, until
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, crm_pb2

pytestmark = on_one_database

BROWSER = "A browser that few have"
KARI = 123_456_789


async def kept(stubs: Stubs, folder: Path, paths: Sequence[str]) -> list[tuple[bytes, token.Claims, click_service_pb2.RecordClickRequest]]:
    """What the journal has of these, opened while the server is away: the bytes, what the token says, and the click."""
    away = Settings(server=NOWHERE, directory=folder)
    async with browsing(away) as browser:
        for path in paths:
            await browser.get(path, headers={"user-agent": BROWSER})
    (segment,) = [each for each in journal_of(away).glob("*.segment") if frames_of(each.read_bytes()).contents]
    clicks = []
    for content in frames_of(segment.read_bytes()).contents:
        click = click_service_pb2.RecordClickRequest.FromString(content)
        claims = token.Verifier(token.load(folder / "keys.json")).verify(click.token.encode())
        assert claims is not None
        clicks.append((content, claims, click))
    return clicks


async def test_the_journal_has_neither_who_it_was_nor_their_browser_and_the_click_counts(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(actions=[set_field("a", "b")])
    recipients = [person(KARI, do_not_track=True), person(KARI, do_not_track=True, test=True), person(KARI)]
    paths = [path_of(await campaign.url(link.id, each)) for each in recipients]
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    not_tracked, test, tracked = await kept(stubs, tmp_path, paths)
    assert [claims for _, claims, _ in (not_tracked, test, tracked)] == [
        token.Claims(1, 0, False, True),
        token.Claims(1, 0, True, True),
        token.Claims(1, 2 * KARI, False, False),
    ]
    assert [BROWSER.encode() in content for content, *_ in (not_tracked, test, tracked)] == [False, False, True]
    assert [paths[0][1:12].encode() in content for content, *_ in (not_tracked, tracked)] == [False, False]
    assert {click.evidence.method for *_, click in (not_tracked, test, tracked)} == {"GET"}
    async with browsing(front):
        await counted(campaign, link.id, 2)
        await until(lambda: nothing_waits(front))
    assert await campaign.counts(link.id) == (2, 1, 0)


async def test_who_leaves_by_a_click_is_kept_until_they_have_left(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    sport = await campaign.entry("INTEREST", "Sport")
    kari = await campaign.person("Kari", interests=[crm_pb2.NamedReference(id=sport)])
    link = await campaign.link(actions=[interests(remove=[sport])])
    path = path_of(await campaign.url(link.id, person(kari, do_not_track=True)))
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    ((content, claims, _),) = await kept(stubs, tmp_path, [path])
    assert claims.recipient == 2 * kari
    assert BROWSER.encode() not in content
    async with browsing(front):
        await counted(campaign, link.id, 1)
        await until(lambda: nothing_waits(front))
    assert list((await campaign.card(kari)).interests) == []
    assert BROWSER.encode() not in b"".join(each.read_bytes() for each in journal_of(front).rglob("*") if each.is_file())


async def test_where_it_is_not_known_whether_a_click_lets_them_leave_who_it_was_is_kept(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    path = path_of(await campaign.url((await campaign.link()).id, person(KARI, do_not_track=True)))
    ((content, claims, _),) = await kept(stubs, tmp_path, [path])
    assert (claims.recipient, BROWSER.encode() in content) == (2 * KARI, False)


async def test_a_click_that_comes_from_its_recipient_and_from_the_journal_counts_once(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(KARI, do_not_track=True)))
    await learn(Settings(server=stubs.address, directory=tmp_path, commit_seconds=20))
    ((_, _, journalled),) = await kept(stubs, tmp_path, [path])
    live = click_service_pb2.RecordClickRequest(click_id=journalled.click_id, token=path[1:], evidence=journalled.evidence)
    call = stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=[live, journalled]))
    await call.write(click_service_pb2.RecordClicksRequest(clicks=[journalled, live]))
    await call.done_writing()
    answers = [answer async for response in call for answer in response.answers]
    assert [answer.WhichOneof("result") for answer in answers] == ["location"] * 4
    assert (await campaign.counts(link.id))[0] == 1
