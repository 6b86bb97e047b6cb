"""Special links at the front door: who opens them sees a page, who posts has it done, and neither is a click."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from uuid_utils import uuid7

from redirect.settings import Settings
from server.store.database import Database
from tests.support.campaign import Campaign, person
from tests.support.crm import delete_entry
from tests.support.server import serving
from tests.support.special import MESSAGE, Sent, front_door, path_of, sent, subscribed, to
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_pb2, click_service_pb2, mailing_pb2, mailing_service_pb2

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
"""What a mail program posts. Source: RFC 8058, 3.1."""


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


@pytest.fixture
async def front(stubs: Stubs, tmp_path: Path, anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with front_door(Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)) as client:
        yield client


async def state(campaign: Campaign, *mailing_types: int, **who: object) -> list[bool]:
    return [await subscribed(campaign, type_id, **who) for type_id in mailing_types]


async def clicks(campaign: Campaign, mailing_id: int) -> tuple[int, int]:
    counts = (await campaign.stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=mailing_id))).counts
    return counts.clicks, counts.suspected


async def two_types(campaign: Campaign) -> tuple[int, int]:
    return await campaign.entry("MAILING_TYPE", "News <b>"), await campaign.entry("MAILING_TYPE", "Offers")


async def test_a_hundred_visits_of_a_scanner_change_nothing_and_one_post_changes_one_subscription(
    campaign: Campaign, front: httpx2.AsyncClient
) -> None:
    news, offers = await two_types(campaign)
    mail = await sent(campaign, person(1), mailing_type_id=news)
    for method in ("GET", "HEAD"):
        for _ in range(100):
            response = await front.request(method, mail.unsubscribe, headers={"user-agent": "scanner", "sec-purpose": "prefetch"})
            assert response.status_code == 200
    assert await state(campaign, news, offers, person_id=1) == [True, True]
    response = await front.get(mail.unsubscribe)
    assert "News &lt;b&gt;" in response.text
    assert 'name="unsubscribe"' in response.text
    assert "form-action 'self'" in response.headers["content-security-policy"]
    done = await front.post(mail.unsubscribe, data={"unsubscribe": "yes"})
    assert done.status_code == 200
    assert 'name="subscribe"' in done.text
    assert await state(campaign, news, offers, person_id=1) == [False, True]
    assert await state(campaign, news, offers, person_id=2) == [True, True]
    assert 'name="subscribe"' in (await front.get(mail.unsubscribe)).text
    assert (await front.post(mail.unsubscribe, data={"subscribe": "yes"})).status_code == 200
    assert await state(campaign, news, offers, person_id=1) == [True, True]
    assert await clicks(campaign, mail.mailing_id) == (0, 0)


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
async def test_one_click_unsubscribing_acts_at_once_and_again_does_no_harm(
    campaign: Campaign, front: httpx2.AsyncClient, encoding: str
) -> None:
    news, offers = await two_types(campaign)
    mail = await sent(campaign, mailing_pb2.Recipient(email="Guest@Example.org"), mailing_type_id=news)
    assert mail.header not in ("/", mail.unsubscribe)
    for _ in range(3):
        if encoding == "multipart":
            response = await front.post(mail.header, files={"List-Unsubscribe": (None, "One-Click")})
            assert response.request.headers["content-type"].startswith("multipart/form-data")
        else:
            response = await front.post(mail.header, data=ONE_CLICK)
        assert response.status_code == 200  # "The POST request MUST NOT" be answered by a redirect: RFC 8058, 3.2
        assert await state(campaign, news, offers, email="guest@example.org") == [False, True]
    assert "set-cookie" not in response.headers


NO_FORMS: list[tuple[bytes, str, int]] = [
    (b"", "application/x-www-form-urlencoded", 400),
    (b"List-Unsubscribe=One-click", "application/x-www-form-urlencoded", 400),
    (b"list-unsubscribe=One-Click", "application/x-www-form-urlencoded", 400),
    (b"List-Unsubscribe", "application/x-www-form-urlencoded", 400),
    (b"unsubscribe=no", "application/x-www-form-urlencoded", 400),
    (b"List-Unsubscribe=One-Click", "", 415),
    (b'{"List-Unsubscribe": "One-Click"}', "application/json", 415),
    (b"x=" + b"y" * 70_000, "application/x-www-form-urlencoded", 413),
    (b"&".join([b"shown=1"] * 3000), "application/x-www-form-urlencoded", 413),
    (b"--b\r\nContent-Disposition: form-data; name=x", "multipart/form-data; boundary=b", 400),
    (b"--b\r\n\r\n--b--", "multipart/form-data", 400),
    (b"--b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b", 400),
    (b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--b--', "multipart/form-data; boundary=b", 400),
    (b"%ff%fe=\xff", "application/x-www-form-urlencoded", 400),
    (b"save=yes", "application/x-www-form-urlencoded", 400),
    (b"save=yes&shown=-1", "application/x-www-form-urlencoded", 400),
]


async def test_what_is_no_form_of_ours_changes_nothing(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    news, _ = await two_types(campaign)
    mail = await sent(campaign, person(1), mailing_type_id=news)
    for body, content_type, status in NO_FORMS:
        for path in (mail.header, mail.manage):
            response = await front.post(path, content=body, headers={"content-type": content_type} if content_type else {})
            assert response.status_code == status, (body[:40], content_type)
            assert "<h1>" in response.text
    assert await state(campaign, news, person_id=1) == [True]


async def test_subscriptions_are_managed_on_a_page_of_all_types(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    news, offers = await two_types(campaign)
    mail = await sent(campaign, person(1), mailing_type_id=news)
    page = (await front.get(mail.manage)).text
    assert re.findall(r'name="shown" value="(\d+)"', page) == [str(news), str(offers)]
    saved = await front.post(mail.manage, data={"save": "yes", "shown": [str(news), str(offers)], "wanted": [str(offers)]})
    assert 'role="status"' in saved.text
    assert await state(campaign, news, offers, person_id=1) == [False, True]
    await front.post(mail.manage, data={"save": "yes", "shown": [str(news), str(offers)], "wanted": [str(news)]})
    assert await state(campaign, news, offers, person_id=1) == [True, False]
    await front.post(mail.manage, data={"leave_all": "yes", "shown": [str(news), str(offers)], "wanted": [str(news)]})
    assert await state(campaign, news, offers, person_id=1) == [False, False]
    assert (await front.post(mail.manage, data=ONE_CLICK)).status_code == 400
    assert await clicks(campaign, mail.mailing_id) == (0, 0)


async def test_the_recipients_own_message_is_viewed_online(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    kari = mailing_pb2.Recipient(email="kari@example.org", merge_fields={"name": "Kåre <3", "id": "a/b"})
    mail = await sent(campaign, kari)
    response = await front.get(mail.online)
    assert response.content == mail.html
    assert "Kåre &lt;3" in response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in response.headers["content-security-policy"]
    assert (await front.head(mail.online)).headers["content-length"] == str(len(mail.html))
    assert await clicks(campaign, mail.mailing_id) == (0, 0)
    await campaign.track(mail.mailing_id, MESSAGE + b"{{ shoe_size }}")
    assert (await front.get(mail.online)).status_code == 410


async def test_a_text_message_is_viewed_online_as_text(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    text = b"https://example.com/{{id}} <b> & trackedlink:view-online"
    mailing = await campaign.mailing()
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, text=text)
    tracked = await campaign.stubs.mailings.TrackMessage(request)
    assert list(tracked.template.kept_fields) == ["id"]
    assert tracked.template.unsubscribe_placement_id == 0
    ((_, online),) = await campaign.send(mailing.id, [person(3, merge_fields={"id": "3"})])
    page = await front.get(path_of(online))
    assert page.status_code == 200
    assert "&lt;b&gt; &amp; http://" in page.text


@pytest.mark.parametrize(
    ("values", "location"),
    [
        ({"id": "7", "name": "Kari"}, "https://example.com/offers/7?for=Kari#7"),
        ({"id": "a/b?c#d", "name": "Å & b=c"}, "https://example.com/offers/a%2Fb%3Fc%23d?for=%C3%85%20%26%20b%3Dc#a%2Fb%3Fc%23d"),
        ({"id": "..", "name": "//evil.example\\@x"}, "https://example.com/offers/?for=%2F%2Fevil.example%5C%40x#.."),
        (
            {"id": "\r\nSet-Cookie: x=1", "name": ""},
            "https://example.com/offers/%0D%0ASet-Cookie%3A%20x%3D1?for=#%0D%0ASet-Cookie%3A%20x%3D1",
        ),
    ],
)
async def test_merge_fields_in_a_url_are_filled_in_at_the_click(
    campaign: Campaign, front: httpx2.AsyncClient, values: dict[str, str], location: str
) -> None:
    mail = await sent(campaign, person(1, merge_fields=values), google_analytics=None)
    for _ in range(2):
        response = await front.get(mail.offers)
        assert (response.status_code, response.headers["location"]) == (302, location)
    assert await clicks(campaign, mail.mailing_id) == (2, 0)


async def test_a_test_mail_shows_the_same_and_changes_nothing(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    news, offers = await two_types(campaign)
    kari = person(1, test=True)
    mail = await sent(campaign, kari, mailing_type_id=news)
    await _nothing_changes(front, mail, news, offers)
    assert await state(campaign, news, offers, person_id=1) == [True, True]
    assert (await front.get(mail.online)).content == mail.html


async def test_what_is_nobodys_shows_the_same_and_changes_nothing(
    campaign: Campaign, front: httpx2.AsyncClient, database: Database
) -> None:
    news, offers = await two_types(campaign)
    mail = await sent(campaign, mailing_pb2.Recipient(), mailing_type_id=news)
    await _nothing_changes(front, mail, news, offers)
    tables = await asyncio.to_thread(
        rows, database, *(f"SELECT * FROM {name}" for name in ("crm_subscription", "subscription_change", "address"))
    )
    assert tables == [[], [], []]
    assert (await front.get(mail.online)).status_code == 200
    assert (await front.get(mail.offers)).headers["location"] == "https://example.com/offers/?for=#"


async def test_who_leaves_all_leaves_also_what_is_gone_since_the_page_was_made(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    news, offers = await two_types(campaign)
    mail = await sent(campaign, person(1), mailing_type_id=news)
    await delete_entry(campaign.stubs, offers)
    response = await front.post(mail.manage, data={"leave_all": "yes", "shown": [str(news), str(offers)]})
    assert response.status_code == 200
    assert await state(campaign, news, person_id=1) == [False]


async def test_whoever_comes_back_to_a_type_that_is_gone_is_told_the_truth(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    news, _ = await two_types(campaign)
    mail = await sent(campaign, person(1), mailing_type_id=news)
    await delete_entry(campaign.stubs, news)
    assert 'name="subscribe"' in (await front.post(mail.unsubscribe, data={"subscribe": "yes"})).text
    assert (await front.post(f"{mail.unsubscribe}/{'A' * 20}", data={"unsubscribe": "yes"})).status_code == 404


async def test_no_table_tells_what_is_known_of_who_is_not_to_be_tracked(
    campaign: Campaign, front: httpx2.AsyncClient, database: Database
) -> None:
    news, _ = await two_types(campaign)
    secret = mailing_pb2.Recipient(email="dnt@example.org", do_not_track=True, merge_fields={"name": "Secret Name"})
    mail = await sent(campaign, secret, mailing_type_id=news)
    assert "Secret%20Name" in (await front.get(mail.offers)).headers["location"]
    tables = await asyncio.to_thread(rows, database, "SELECT recipient FROM click", "SELECT value FROM interned")
    assert tables[0] == [(0,)]
    assert "Secret" not in repr(tables[1])

    mailing = await campaign.mailing(mailing_type_id=news)
    await campaign.track(mailing.id, b'<a href="https://example.com/">x</a>')
    await campaign.send(mailing.id, [person(77, do_not_track=True), person(78)])
    kept = await asyncio.to_thread(rows, database, f"SELECT recipient FROM kept WHERE mailing_id = {mailing.id}")
    assert kept == [[]]  # unsubscribing reads nothing of it


def rows(database: Database, *statements: str) -> list[list[tuple[object, ...]]]:
    """The rows of each statement."""
    return database.read(lambda connection: [[tuple(row) for row in connection.exec_driver_sql(each)] for each in statements])


async def test_who_is_not_to_be_tracked_is_stored_without_a_user_agent(
    campaign: Campaign, front: httpx2.AsyncClient, database: Database
) -> None:
    link = await campaign.link()
    for recipient in (person(1, do_not_track=True), mailing_pb2.Recipient(), person(2)):
        url = await campaign.url(link.id, recipient)
        await front.get(url, headers={"user-agent": f"Rare/{recipient.person_id}", "sec-purpose": "none"})
        await front.head(url, headers={"user-agent": f"Rare/{recipient.person_id}"})
    token = (await campaign.url(link.id, person(1, do_not_track=True))).rpartition("/")[2]
    seen = click_pb2.Evidence(user_agent="Rare/1", prefetch=True)
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token, evidence=seen)
    answers = [await campaign.stubs.clicks.RecordClick(request) for _ in range(2)]
    assert [answer.click.evidence for answer in answers] == [click_pb2.Evidence(method="GET", prefetch=True)] * 2
    found = await asyncio.to_thread(rows, database, "SELECT value FROM interned")
    assert "Rare/1" not in repr(found)
    assert "Rare/2" in repr(found)
    listed = (await campaign.stubs.clicks.ListClicks(click_service_pb2.ListClicksRequest(link_id=link.id))).clicks
    agents = sorted((click.evidence.method, click.evidence.prefetch, click.evidence.user_agent) for click in listed)
    assert agents == [
        ("GET", False, ""),
        ("GET", False, "Rare/0"),
        ("GET", False, "Rare/2"),
        ("GET", True, ""),
        ("HEAD", False, ""),
        ("HEAD", False, "Rare/0"),
        ("HEAD", False, "Rare/2"),
    ]


async def test_what_mails_already_out_need_stays_when_others_are_made(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    first = await sent(campaign, person(1, merge_fields={"id": "first"}))
    await campaign.track(first.mailing_id, b'<a href="https://example.com/{{ code }}">x</a>')
    await campaign.send(first.mailing_id, [person(1, merge_fields={"code": "c"}), person(1, test=True, merge_fields={"code": "test"})])
    tracked = await campaign.track(first.mailing_id, MESSAGE)
    await to(campaign, tracked, first.mailing_id, person(1, test=True, merge_fields={"id": "DUMMY"}))
    assert (await front.get(first.offers)).headers["location"].startswith("https://example.com/offers/first?")


async def _nothing_changes(front: httpx2.AsyncClient, mail: Sent, news: int, offers: int) -> None:
    for path in (mail.unsubscribe, mail.header, mail.manage):
        assert (await front.get(path)).status_code == 200
    assert (await front.post(mail.header, data=ONE_CLICK)).status_code == 200
    assert (await front.post(mail.unsubscribe, data={"unsubscribe": "yes"})).status_code == 200
    saved = await front.post(mail.manage, data={"leave_all": "yes", "shown": [str(news), str(offers)]})
    assert saved.status_code == 200


@pytest.mark.parametrize(
    "recipient",
    [person(1, do_not_track=True), mailing_pb2.Recipient(email="dnt@example.org", do_not_track=True)],
    ids=["person", "address"],
)
async def test_for_who_is_not_to_be_tracked_special_links_and_merge_fields_work_and_no_click_names_them(
    campaign: Campaign, front: httpx2.AsyncClient, recipient: mailing_pb2.Recipient
) -> None:
    news, _ = await two_types(campaign)
    mail = await sent(campaign, recipient, mailing_type_id=news)
    assert (await front.get(mail.offers)).headers["location"] == "https://example.com/offers/7?for=Kari%20%26%20co#7"
    assert await clicks(campaign, mail.mailing_id) == (1, 0)
    assert await campaign.clickers(mailing_id=mail.mailing_id) == []
    assert (await front.get(mail.online)).content == mail.html
    await front.post(mail.header, data=ONE_CLICK)
    who = {"person_id": 1} if recipient.person_id else {"email": "dnt@example.org"}
    assert await state(campaign, news, **who) == [False]


async def test_the_pages_speak_the_readers_language_or_the_mailings(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    mail = await sent(campaign, person(1), language="de-AT")
    for wanted, spoken in (("nb-NO, en;q=0.8", "nb"), ("fr", "de"), ("", "de"), ("sv;q=0.4, nl;q=0.5", "nl")):
        response = await front.get(mail.unsubscribe, headers={"accept-language": wanted})
        assert f'<html lang="{spoken}"' in response.text
    assert '<html lang="da"' in (await front.get("/nothing", headers={"accept-language": "da"})).text


async def test_a_token_of_another_kind_or_none_finds_nothing_to_change(campaign: Campaign, front: httpx2.AsyncClient) -> None:
    mail = await sent(campaign, person(1))
    assert (await front.post(mail.offers, data=ONE_CLICK)).status_code == 404
    assert (await front.post("/AQIAZidgZVYZfX-pAgA", data=ONE_CLICK)).status_code == 404
    assert (await front.post(mail.offers, data={"renew": "yes"})).status_code == 404
    assert (await front.post(mail.unsubscribe, data={"renew": "yes"})).status_code == 404
    for method in ("PUT", "DELETE", "PATCH"):
        response = await front.request(method, mail.unsubscribe)
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_a_link_to_manage_subscriptions_expires_and_is_renewed_when_asked_for(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, subscription_link_days=1e-9) as stubs:  # about 0.1 ms
        mail = await sent(Campaign(stubs), person(1))
        other = await sent(Campaign(stubs), person(2))
        async with front_door(Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)) as front:
            old = await front.get(mail.manage)
            assert old.status_code == 410
            assert 'name="renew"' in old.text
            assert (await front.get(mail.unsubscribe)).status_code == 200  # whoever wants to leave is let go
            changed = await front.post(mail.manage, data={"leave_all": "yes", "shown": "1"})
            assert changed.status_code == 410
    async with (
        serving(database_url, tmp_path, public_url="http://front") as stubs,
        front_door(Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)) as front,
    ):
        new = (await front.post(mail.manage, data={"renew": "yes"})).text
        (url,) = re.findall(r'href="(http://front/[^"]+)"', new)
        assert url.startswith(f"http://front{mail.manage}/")
        page = await front.get(url)
        assert page.status_code == 200
        (shown, *_) = re.findall(r'name="shown" value="(\d+)"', page.text)
        assert (await front.post(url, data={"leave_all": "yes", "shown": shown})).status_code == 200
        assert await state(Campaign(stubs), int(shown), person_id=1) == [False]
        renewal = url.rpartition("/")[2]
        for forged in (renewal[:-1], renewal.swapcase(), "A" * 20, "ø" * 20, renewal + "A", renewal[:-1] + "=", "~" * 20):
            assert (await front.get(f"{mail.manage}/{forged}")).status_code == 404, forged
        assert (await front.get(f"{other.manage}/{renewal}")).status_code == 404
        assert (await front.get(f"{mail.offers}/{renewal}")).status_code == 404
        assert (await front.get(f"/nothing/{renewal}")).status_code == 404
        assert (await front.put(url)).status_code == 405


async def test_without_a_server_a_page_says_to_try_again(campaign: Campaign, tmp_path: Path) -> None:
    mail = await sent(campaign, person(1))
    async with front_door(Settings(server="127.0.0.1:9", directory=tmp_path, commit_seconds=0.2)) as front:
        response = await front.post(mail.header, data=ONE_CLICK)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
