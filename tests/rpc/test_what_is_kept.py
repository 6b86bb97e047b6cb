"""What of a person stands in the database once the person is deleted, or a link is reset: nothing but what the contract says."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from uuid_utils import uuid7

from server.store.click_tables import metadata
from server.store.database import Database
from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    click_service_pb2,
    embedded_crm_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    script_pb2,
    script_service_pb2,
)

NAME, MAIL, FIELD = "Unmistakable", "findable.address", "Telltale"
SECRET = "whsec_" + "c2VjcmV0" * 4
FAILED, DONE = click_pb2.ACTION_STATE_FAILED, click_pb2.ACTION_STATE_DONE


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def script(campaign: Campaign, source: str) -> link_pb2.LinkAction:
    request = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name=f"Script {uuid7()}", source=source))
    made = await campaign.stubs.scripts.CreateScript(request)
    return link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made.id))


async def telling(campaign: Campaign) -> list[link_pb2.Link]:
    """Links of each kind that say something of the recipient."""
    fields = "{{recipient.name}}?e={{recipient.email}}&f={{field.size}}"
    form = link_pb2.Link(name="Form", form=link_pb2.Form(url=f"https://example.com/{fields}"))
    said = 'print(recipient["name"], recipient["extra_fields"])\n'
    sends = await script(campaign, f'{said}returnUrl = "https://example.org/?n=" + recipient["name"]')
    fails = await script(campaign, f'{said}raise ValueError(recipient["email"])')
    field = link_pb2.LinkAction(set_field=link_pb2.SetField(field="said", value="{{recipient.name}}"))
    hook = link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url="https://hooks.example.invalid/", secret=SECRET))
    return [
        await campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=form)),
        await campaign.link(text="<p>Hello {{recipient.name}}</p>"),
        await campaign.link(actions=[sends, fails]),
        await campaign.link(actions=[field, hook]),
    ]


async def clicked(campaign: Campaign, links: list[link_pb2.Link], who: mailing_pb2.Recipient) -> list[click_service_pb2.RecordClickRequest]:
    """The clicks of somebody on each of the links."""
    tokens = [(await campaign.url(link.id, who)).rpartition("/")[2] for link in links]
    clicks = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token) for token in tokens]
    for each in clicks:
        await campaign.stubs.clicks.RecordClick(each)
    return clicks


async def kari(campaign: Campaign) -> int:
    return await campaign.person(f"{NAME} Kari", email=f"{MAIL}@example.com", extra_fields={"size": f"{FIELD} 42"})


def found_in(database: Database) -> dict[str, list[str]]:
    """The tables in which something of the person is found, and what."""

    def work(connection: sa.Connection) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for table in metadata.sorted_tables:
            text = "\n".join(repr(tuple(row)) for row in connection.exec_driver_sql(f'SELECT * FROM "{table.name}"'))
            if words := [word for word in (NAME, MAIL, FIELD) if word in text]:
                found[table.name] = words
        return found

    return database.read(work)


async def swept(database: Database) -> None:
    """Returns when nothing of a reset is left to be done."""
    left = sa.text("SELECT count(*) FROM reset_remains")
    async with asyncio.timeout(20):
        while await asyncio.to_thread(database.read, lambda connection: connection.execute(left).scalar_one()):
            await asyncio.sleep(0.02)


async def runs(campaign: Campaign, link_id: int) -> list[tuple[int, str, str]]:
    request = action_service_pb2.ListActionRunsRequest(link_id=link_id)
    return sorted((run.state, run.reason, run.log) for run in (await campaign.stubs.actions.ListActionRuns(request)).action_runs)


async def test_what_is_known_of_a_person_goes_with_the_person(campaign: Campaign, database: Database, tmp_path: Path) -> None:
    links, who = await telling(campaign), await kari(campaign)
    clicks = await clicked(campaign, links, person(who))
    assert set(found_in(database)) == {"crm_person", "crm_extra_field", "script_said", "action_run", "outbox"}
    await campaign.stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=who))
    assert found_in(database) == {}
    assert [state for state, _, _ in await runs(campaign, links[2].id)] == [DONE, FAILED]
    (event,) = database.read(lambda connection: connection.exec_driver_sql("SELECT payload FROM outbox").scalars().all())
    assert json.loads(json.loads(event)["body"])["data"]["recipient"] == {"person_id": who}

    answers = [await campaign.stubs.clicks.RecordClick(each) for each in clicks]
    assert all(answer.duplicate for answer in answers)
    assert [answer.location for answer in answers] == ["https://example.com/?e=&f=", "", "https://example.com/", "https://example.com/"]
    await clicked(campaign, links, person(who))
    assert found_in(database) == {}
    if database.is_sqlite:
        path = tmp_path / "test.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = path.read_bytes()
        assert [word for word in (NAME, MAIL, FIELD) if word.encode() in content] == []


async def test_a_reset_forgets_what_was_said_of_those_who_clicked(campaign: Campaign, database: Database) -> None:
    links, who = await telling(campaign), await kari(campaign)
    clicks = await clicked(campaign, links, person(who))
    late = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=each.token, replayed=True) for each in clicks]
    for link in links:
        await campaign.stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link.id))
    await swept(database)
    of_the_crm_and_under_way = {"crm_person", "crm_extra_field", "outbox"}
    assert set(found_in(database)) == of_the_crm_and_under_way
    for each in late:
        await campaign.stubs.clicks.RecordClick(each)
    assert set(found_in(database)) == of_the_crm_and_under_way
    answers = [await campaign.stubs.clicks.RecordClick(each) for each in clicks]
    assert all(answer.duplicate for answer in answers)
    assert answers[2].location == "https://example.com/"


async def test_a_script_that_runs_while_its_person_is_deleted_leaves_nothing(campaign: Campaign, database: Database) -> None:
    source = 'x = 0\nwhile x < 30000:\n    x = x + 1\nprint(recipient["name"])\nreturnUrl = "https://example.org/?n=" + recipient["name"]'
    link, who = await campaign.link(actions=[await script(campaign, source)]), await kari(campaign)
    token = (await campaign.url(link.id, person(who))).rpartition("/")[2]
    click = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
    call: Any = campaign.stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=[click]))
    assert (await call.read()).deferred == [click.click_id]
    await campaign.stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=who))
    assert [answer.click_id for answer in (await call.read()).answers] == [click.click_id]
    await call.done_writing()
    assert found_in(database) == {}
    assert (await campaign.stubs.clicks.RecordClick(click)).duplicate
