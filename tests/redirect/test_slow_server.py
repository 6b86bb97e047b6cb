"""A server that is connected and slow: who gets what only it knows waits for it; everybody else is sent on at once."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, counted, learn, nothing_waits, path_of, until
from tests.support.server import serving
from tests.support.stubs import Stubs
from trackedlinks.v1 import link_pb2, mailing_pb2, script_pb2, script_service_pb2

pytestmark = on_one_database
"""SQLite has one writer, which a lock from outside holds up."""


@pytest.fixture
async def stubs(database_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Stubs]:
    """A server whose database is in test.db."""
    async with serving(database_url, tmp_path) as client:
        yield client


@pytest.fixture
def front(stubs: Stubs, tmp_path: Path) -> Settings:
    """A front door that is soon at its patience's end."""
    return Settings(server=stubs.address, directory=tmp_path, commit_seconds=0.05)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[sqlite3.Connection]:
    """Holds up whatever the server writes until the block ends, or until what this gives is rolled back."""
    with contextlib.closing(sqlite3.connect(directory / "test.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def links_of_every_kind(campaign: Campaign, kari: int) -> dict[str, tuple[int, str]]:
    """A link of each kind whose answer depends on who clicks: its id and Kari's path, by what she is to get."""
    script = await campaign.stubs.scripts.CreateScript(
        script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="S", source='returnUrl = "https://example.com/chosen"'))
    )
    text = await campaign.link("T", text="<p>Hi {{recipient.name}}</p>")
    form = await campaign.link("F", form=link_pb2.Form(url="https://example.com/?n={{recipient.name}}"))
    scripted = await campaign.link("S", actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id))])
    field = await campaign.link("M", url="https://example.com/{{shop}}")
    html = f'<a href="trackedlink:{field.id}">x</a>'.encode()
    _, ((url,),) = await campaign.mail(html, [mailing_pb2.Recipient(person_id=kari, merge_fields={"shop": "oslo"})])
    outside = {
        "<p>Hi Kari</p>": text.id,
        "https://example.com/?n=Kari": form.id,
        "https://example.com/chosen": scripted.id,
    }
    paths = {wanted: (link_id, path_of(await campaign.url(link_id, person(kari)))) for wanted, link_id in outside.items()}
    return {"https://example.com/oslo": (field.id, path_of(url))} | paths


def got(response: httpx2.Response, wanted: str) -> str:
    if response.status_code == 302:
        return response.headers["location"]
    return wanted if wanted in response.text else response.text


async def test_what_depends_on_who_clicks_is_waited_for_and_all_else_is_not(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    kari = await campaign.person("Kari")
    links = await links_of_every_kind(campaign, kari)
    plain = await campaign.link("P", url="https://example.com/plain")
    path = path_of(await campaign.url(plain.id, person(kari)))
    await learn(front)
    async with browsing(front) as browser:
        with locked(front.directory) as other:
            waiting = {wanted: asyncio.create_task(browser.get(link[1])) for wanted, link in links.items()}
            assert (await browser.get(path)).headers["location"] == "https://example.com/plain"
            assert not any(task.done() for task in waiting.values())
            other.rollback()
            responses = {wanted: await task for wanted, task in waiting.items()}
        assert [got(response, wanted) for wanted, response in responses.items()] == list(links)
        await until(lambda: nothing_waits(front))
        for link_id in [plain.id, *(link_id for link_id, _ in links.values())]:
            await counted(campaign, link_id, 1)
            assert (await campaign.counts(link_id))[0] == 1


async def test_it_is_answered_by_the_snapshot_only_when_nothing_can_be_asked(stubs: Stubs, front: Settings) -> None:
    campaign = Campaign(stubs)
    links = await links_of_every_kind(campaign, await campaign.person("Kari"))
    await learn(front)
    async with browsing(front.model_copy(update={"server": NOWHERE})) as browser:
        responses = {wanted: await browser.get(path) for wanted, (_, path) in links.items()}
    without = ["https://example.com/", "<p>Hi </p>", "https://example.com/?n=", "https://example.com/"]
    assert [got(response, wanted) for wanted, response in zip(without, responses.values(), strict=True)] == without
