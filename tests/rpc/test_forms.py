"""The form response: the recipient is sent to a form with what is known of them filled in."""

from typing import Any

import pytest
from uuid_utils import uuid7

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
