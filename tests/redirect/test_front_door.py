"""The front door: headers, methods, pages, and what it does when the server is away."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient
from uuid_utils import uuid7

from redirect import token
from redirect.app import create
from redirect.clicks import ClickStream
from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2


@pytest.fixture
def front(stubs: Stubs, tmp_path: Path) -> Settings:
    """The settings of a front door before the server of `stubs`."""
    return Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)


async def opened(front: Settings, *requests: tuple[str, str]) -> list[httpx2.Response]:
    app = create(front)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://front") as client:
            return [await client.request(method, path) for method, path in requests]


def path_of(url: str) -> str:
    return "/" + url.rpartition("/")[2]


async def test_a_redirect_is_private_and_sends_no_referrer(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link(url="https://example.com/a b?x=[0]#ø")
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    get, head = await opened(front, ("GET", path), ("HEAD", path))
    for response in (get, head):
        assert response.status_code == 302
        assert dict(response.headers) == {
            "location": "https://example.com/a%20b?x=[0]#%C3%B8",
            "content-length": "0",
            "cache-control": "private, no-store",
            "referrer-policy": "no-referrer",
            "x-robots-tag": "noindex, nofollow",
        }
    assert await Campaign(stubs).counts(link.id) == (1, 1, 1)


async def test_a_custom_text_is_sanitised_filled_in_and_shown_under_a_strict_policy(stubs: Stubs, front: Settings) -> None:
    text = '<h1 onclick="x()">Hi {{recipient.name}}</h1><script>alert(1)</script><img src=x onerror=y>'
    text += '<form action=/x><input></form><a href="javascript:z">j</a>'
    campaign = Campaign(stubs)
    kari = await campaign.person('<b>Kari</b> "K"')
    link = await campaign.link("A <title>", text=text)
    get, head = await opened(front, *[(method, path_of(await campaign.url(link.id, person(kari)))) for method in ("GET", "HEAD")])
    assert get.status_code == head.status_code == 200
    assert "<h1>Hi &lt;b&gt;Kari&lt;/b&gt; &quot;K&quot;</h1>" in get.text
    for bad in ("<script", "onclick", "onerror", "<form", "<input", "javascript:", "<img", "<b>"):
        assert bad not in get.text
    assert "<title>A &lt;title&gt;</title>" in get.text
    policy = get.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert (head.content, head.headers["content-length"]) == (b"", str(len(get.content)))


async def test_whatever_leads_nowhere_gets_the_same_neutral_page(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link()
    minted = path_of(await Campaign(stubs).url(link.id, person(1)))
    keys = token.load(front.directory / "keys.json")
    unknown_placement = "/" + token.Minter(keys).mint(token.Minter(keys).prefix(404), 2)
    slashed = [f"{minted}/", "/not-a-token/?a=b", "//evil.example", f"{minted}//"]
    spelled = [
        "/" + "".join(f"%{ord(letter):02X}" for letter in minted[1:]),
        minted[:5] + f"%{ord(minted[5]):02x}" + minted[6:],
        minted + "." * 99,
    ]
    paths = [
        *slashed,
        *spelled,
        "/nothing",
        minted[:-1],
        minted + "/x",
        unknown_placement,
        "/",
        "/favicon.ico",
        "/%00",
        "/" + "A" * 5000,
        "/%ff%fe",
    ]
    responses = await opened(front, *[("GET", path) for path in paths])
    assert {response.status_code for response in responses} == {404}
    assert len({response.content for response in responses}) == 1
    assert {response.headers["content-type"] for response in responses} == {"text/html; charset=utf-8"}
    (head,) = await opened(front, ("HEAD", "/nothing"))
    assert (head.status_code, head.content) == (404, b"")


async def test_a_value_is_not_filled_into_an_attribute_and_cannot_make_a_page_huge(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    sly = await campaign.person("javascript:alert(1)//")
    link = await campaign.link(text='<p>{{recipient.name}}</p><a title="a>b {{recipient.name}}" href="{{recipient.name}}">x</a>')
    (page,) = await opened(front, ("GET", path_of(await campaign.url(link.id, person(sly)))))
    assert "<p>javascript:alert(1)//</p>" in page.text
    assert page.text.count("javascript:") == 1
    long = await campaign.person("\xa0" * 254 + "x")
    huge = await campaign.link(text="{{recipient.name}}" * 1800)
    (page,) = await opened(front, ("GET", path_of(await campaign.url(huge.id, person(long)))))
    assert (page.status_code, len(page.content) < 140_000) == (200, True)


async def test_many_large_pages_at_once_all_arrive(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(text="<p>" + "x" * 32_000 + "</p>")
    token_of_link = path_of(await campaign.url(link.id, person(1)))[1:]
    stream = ClickStream(stubs.address, 20, token.load(front.directory / "keys.json"))
    stream.start()
    await stream.connection()
    requests = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token_of_link) for _ in range(400)]
    answers = await asyncio.gather(*(stream.record(request) for request in requests))
    await stream.stop()
    assert {len(answer.page.html) for answer in answers if answer} == {32_007}
    assert await campaign.counts(link.id) == (400, 1, 0)


async def test_many_clicks_at_once_with_long_user_agents_fit_into_what_the_server_takes(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link()
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    agents = [b"\xff" * 4096, "😀".encode() * 1024]
    app = create(front)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://front") as client:
        responses = await asyncio.gather(*(client.get(path, headers=[(b"user-agent", agents[each % 2])]) for each in range(1001)))
    assert {response.status_code for response in responses} == {302}
    assert await Campaign(stubs).counts(link.id) == (1001, 1, 0)


async def test_a_front_door_with_other_keys_than_the_server_says_it_is_not_ready(
    stubs: Stubs, front: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "keys.json"
    token.create(other)
    stream = ClickStream(stubs.address, 0.5, token.load(other))
    stream.start()
    assert await stream.record(click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token="x")) is None
    assert not stream.connected
    await stream.stop()


async def test_other_methods_are_refused_and_count_nothing(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link()
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    for response in await opened(front, *[(method, path) for method in ("PUT", "DELETE", "OPTIONS", "PATCH")]):
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
    (posted,) = await opened(front, ("POST", path))
    assert posted.status_code == 415
    assert await Campaign(stubs).counts(link.id) == (0, 0, 0)


async def test_robots_and_health_are_plain(front: Settings) -> None:
    robots, health = await opened(front, ("GET", "/robots.txt"), ("GET", "/healthz"))
    assert robots.text == "User-agent: *\nDisallow: /\n"
    assert health.status_code == 200


async def test_without_a_server_the_recipient_is_told_to_try_again(stubs: Stubs, front: Settings) -> None:
    link = await Campaign(stubs).link()
    path = path_of(await Campaign(stubs).url(link.id, person(1)))
    away = front.model_copy(update={"server": "127.0.0.1:1", "commit_seconds": 0.3})
    click, ready, health = await opened(away, ("GET", path), ("GET", "/readyz"), ("GET", "/healthz"))
    assert (click.status_code, click.headers["retry-after"]) == (503, "5")
    assert "try again" in click.text
    assert (ready.status_code, health.status_code) == (503, 200)


async def test_clicks_that_come_together_go_in_few_batches_and_each_gets_its_own_answer(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    links = [await campaign.link(url=f"https://example.com/{number}") for number in range(10)]
    tokens = [path_of(await campaign.url(link.id, person(1)))[1:] for link in links]
    stream = ClickStream(stubs.address, 20, token.load(front.directory / "keys.json"))
    stream.start()
    await stream.connection()
    requests = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=tokens[number % 10]) for number in range(500)]
    answers = await asyncio.gather(*(stream.record(request) for request in requests))
    await stream.stop()
    assert [answer.location for answer in answers if answer] == [f"https://example.com/{number % 10}" for number in range(500)]
    assert [await campaign.counts(link.id) for link in links] == [(50, 1, 0)] * 10


async def test_a_click_that_nobody_answers_in_time_is_given_up(stubs: Stubs) -> None:
    stream = ClickStream("127.0.0.1:1", 0.1, token.Keys({"A": bytes(32)}, "A"))
    stream.start()
    assert await stream.record(click_service_pb2.RecordClickRequest(click_id="x", token="y")) is None
    await stream.stop()


def test_a_front_door_without_a_key_file_does_not_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(OSError, match=r"keys\.json"), TestClient(create(Settings(directory=tmp_path_factory.mktemp("empty")))):
        raise AssertionError("it started")
