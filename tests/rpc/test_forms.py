"""The form response: the recipient is sent to a form with what is known of them filled in."""

import json
from typing import Any

import pytest
from uuid_utils import uuid7

from server.store.database import Database
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, mailing_pb2


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def form(campaign: Campaign, url: str) -> Any:
    draft = link_pb2.Link(name="Sign up & on", form=link_pb2.Form(url=url))
    return await campaign.stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))


async def location(campaign: Campaign, url: str, click_id: str = "") -> str:
    request = click_service_pb2.RecordClickRequest(click_id=click_id or str(uuid7()), token=url.rpartition("/")[2])
    return str((await campaign.stubs.clicks.RecordClick(request)).location)


async def test_known_contact_data_is_filled_in_percent_encoded(campaign: Campaign) -> None:
    kari = await campaign.person("Kåre & Søn #1", email="kari+x@example.com", extra_fields={"shoe size": "42/43"})
    url = (
        "https://example.com/{{link.name}}?email={{recipient.email}}&name={{ recipient.name }}&size={{field.shoe size}}&none={{field.x}}#f"
    )
    link = await form(campaign, url)
    found = await location(campaign, await campaign.url(link.id, person(kari)))
    assert found == (
        "https://example.com/Sign%20up%20%26%20on?email=kari%2Bx%40example.com&name=K%C3%A5re%20%26%20S%C3%B8n%20%231&size=42%2F43&none=#f"
    )


async def test_an_address_fills_in_itself_and_nobody_fills_in_nothing(campaign: Campaign) -> None:
    link = await form(campaign, "https://example.com/?e={{recipient.email}}&n={{recipient.name}}")
    email = await campaign.url(link.id, mailing_pb2.Recipient(email="x@example.com"))
    assert await location(campaign, email) == "https://example.com/?e=x%40example.com&n="
    assert await location(campaign, await campaign.url(link.id)) == "https://example.com/?e=&n="
    assert await location(campaign, await campaign.url(link.id, person(404))) == "https://example.com/?e=&n="


async def test_a_value_cannot_choose_another_server_or_add_parameters(campaign: Campaign) -> None:
    sly = await campaign.person("@evil.example/?a=b&c=d#{{recipient.email}}")
    link = await form(campaign, "https://example.com/{{recipient.name}}")
    found = await location(campaign, await campaign.url(link.id, person(sly)))
    assert found.startswith("https://example.com/%40evil.example%2F%3Fa%3Db%26c%3Dd%23%7B%7B")


async def test_the_same_click_gets_its_first_address_and_analytics_come_before_the_fragment(campaign: Campaign) -> None:
    link = await form(campaign, "https://example.com/?e={{recipient.email}}#f")
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    analytics = mailing_pb2.GoogleAnalytics(source="s")
    _, ((url,),) = await campaign.mail(html, [mailing_pb2.Recipient(email="x@example.com")], google_analytics=analytics)
    click_id = str(uuid7())
    first = await location(campaign, url, click_id)
    assert first == "https://example.com/?e=x%40example.com&utm_medium=email&utm_source=s#f"
    change = link_pb2.Link(id=link.id, form=link_pb2.Form(url="https://example.com/other"))
    await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert await location(campaign, url, click_id) == first
    assert (await location(campaign, url)).startswith("https://example.com/other?")


async def test_no_table_has_what_a_form_was_filled_in_with_and_the_same_click_is_filled_in_again(
    campaign: Campaign, database: Database
) -> None:
    url = "https://example.com/{{recipient.name}}?e={{recipient.email}}&s={{field.size}}"
    link = await form(campaign, url)
    kari = await campaign.person("Kari Secret", email="secret@example.com", extra_fields={"size": "Hidden 42"})
    to_kari, to_address = (
        await campaign.url(link.id, person(kari)),
        await campaign.url(link.id, mailing_pb2.Recipient(email="x@example.com")),
    )
    ids = [str(uuid7()), str(uuid7())]
    first = [await location(campaign, each, click_id) for each, click_id in zip((to_kari, to_address), ids, strict=True)]
    assert first == ["https://example.com/Kari%20Secret?e=secret%40example.com&s=Hidden%2042", "https://example.com/?e=x%40example.com&s="]
    stored = database.read(lambda connection: connection.exec_driver_sql("SELECT value FROM interned").scalars().all())
    assert sorted(stored) == ['["GET", false, ""]', json.dumps({"form": url})]
    for response in (
        {"redirect": link_pb2.Redirect(url="https://example.com/new")},
        {"custom_text": link_pb2.CustomText(html="<p>new</p>")},
    ):
        change = link_pb2.Link(id=link.id, **response)
        await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
        assert [await location(campaign, each, click_id) for each, click_id in zip((to_kari, to_address), ids, strict=True)] == first


async def test_a_merge_field_and_a_form_are_told_apart_when_a_link_changes_from_one_to_the_other(campaign: Campaign) -> None:
    merged, filled = "https://example.com/?n={{ recipient.name }}", "https://example.com/?n={{recipient.name}}&form"
    link = await campaign.link(url=merged)
    kari = person(await campaign.person("Kari of the CRM"), merge_fields={"recipient.name": "Kari of the mailing"})
    _, ((url,),) = await campaign.mail(f'<a href="trackedlink:{link.id}">x</a>'.encode(), [kari])
    before, after = str(uuid7()), str(uuid7())
    assert await location(campaign, url, before) == "https://example.com/?n=Kari%20of%20the%20mailing"
    change = link_pb2.Link(id=link.id, form=link_pb2.Form(url=filled))
    await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert await location(campaign, url, after) == "https://example.com/?n=Kari%20of%20the%20CRM&form"
    assert await location(campaign, url, before) == "https://example.com/?n=Kari%20of%20the%20mailing"


@on_one_database
@pytest.mark.parametrize(
    "url",
    [
        "https://{{recipient.name}}/",
        "https://example.com:{{recipient.name}}/",
        "https://{{recipient.name}}@example.com/",
        "{{recipient.name}}://example.com/",
        "https://example.com{{recipient.name}}",
        "https://example.com/{{recipient.password}}",
        "https://example.com/{{field.}}",
        "javascript:{{recipient.name}}",
        "",
    ],
)
async def test_a_wrong_form_url_is_refused(campaign: Campaign, url: str) -> None:
    problem = await refused(form(campaign, url))
    assert (problem.reason, list(problem.fields)) == ("INVALID_FIELD", ["link.form.url"])
