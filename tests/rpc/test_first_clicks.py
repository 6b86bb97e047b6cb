"""What a start does before it serves: clicks go all the way, and nothing of them stays."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, event, select
from structlog.testing import capture_logs
from uuid_utils import uuid7

from server.house import new_click_id, now
from server.model.click import Evidence, SeenClick
from server.store.database import Database
from server.store.recording import Recorder
from tests.support.actions import interests, set_field
from tests.support.campaign import Campaign, person
from tests.support.server import serving
from tests.support.statements import listen
from trackedlinks.v1 import link_pb2, mailing_pb2


async def fill(campaign: Campaign) -> None:
    """A mailing of links of every kind, to two recipients; and a link outside it."""
    kari, sport = await campaign.person("Kari"), await campaign.entry("INTEREST", "Sport")
    webhook = link_pb2.SendWebhook(url="https://example.com/hook", secret="whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU=")
    acting = await campaign.link(
        actions=[set_field("a", "{{recipient.name}}"), interests(add=[sport]), link_pb2.LinkAction(webhook=webhook)]
    )
    text = await campaign.link(text="<p>{{recipient.name}}</p>")
    form = await campaign.link(form=link_pb2.Form(url="https://example.com/?e={{recipient.email}}"))
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in (acting, text, form)).encode()
    html += b'<a href="https://example.com/{{shop}}">y</a><a href="trackedlink:view-online">z</a>'
    values = {"shop": "oslo"}
    await campaign.mail(html, [person(kari, merge_fields=values), mailing_pb2.Recipient(email="x@example.com", merge_fields=values)])
    await campaign.url((await campaign.link()).id)


def rows_of(url: str) -> dict[str, list[Any]]:
    """Everything that a database holds."""
    database = Database(url)
    tables = MetaData()
    tables.reflect(database.engine)
    with database.engine.connect() as connection:
        found = {name: sorted(map(repr, connection.execute(select(table)))) for name, table in tables.tables.items()}
    database.close()
    return found


async def test_a_start_does_what_clicks_do_and_leaves_the_database_as_it_was(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database_url, tmp_path) as stubs:
        await fill(Campaign(stubs))
    before = rows_of(database_url)
    heard = listen(monkeypatch)
    with capture_logs() as logs:
        async with serving(database_url, tmp_path):
            pass
    assert rows_of(database_url) == before
    assert any("INSERT INTO click" in statement for statement in heard)
    assert "not_warmed_up" not in [entry["event"] for entry in logs]


async def test_a_server_without_a_placement_starts(database_url: str, tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(database_url, tmp_path) as stubs:
            assert (await Campaign(stubs).link()).id == 1
    assert "not_warmed_up" not in [entry["event"] for entry in logs]


async def test_the_first_click_on_a_new_mailing_reads_no_link(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as stubs:
        await fill(Campaign(stubs))
    database = Database(database_url)
    recorder = Recorder(database, now)
    read: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: read.append(statement))
    click = SeenClick(new_click_id(), 1, 0, False, False, Evidence("GET", False, "").cleaned())
    recorder.warm_up(click)
    assert [statement for statement in read if "FROM link" in statement]
    read.clear()
    click.id = uuid7().bytes
    recorder.record([click])
    assert not [statement for statement in read if "FROM link" in statement]
    database.close()
