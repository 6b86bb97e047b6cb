"""A recipient with a real browser before a real house: from the mail to the page, the button, and what has come of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.house import House
from trackedlinks.v1 import crm_pb2, crm_service_pb2, embedded_crm_service_pb2, mailing_pb2, mailing_service_pb2
from trackedlinks_client import connect
from trackedlinks_client.connection import Connection
from trackedlinks_client.messages import Renderer, urls_of

HTML = """<!doctype html><html><head><style>h1 { color: rgb(1, 2, 3) }</style></head><body><h1 style="margin:0">Dear {{ name }}</h1>
<a href="https://offers.example/{{ name }}?from=mail#top">Offers</a><script>document.title = "run"</script>
<!--[if mso]><v:roundrect href="https://offers.example/vml"></v:roundrect><![endif]-->
<form action="https://offers.example/form"><input name="x"></form>
<a href="trackedlink:unsubscribe">Unsubscribe</a> <a href="trackedlink:manage-subscriptions">Subscriptions</a>
<a href="trackedlink:view-online">View online</a></body></html>"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path / "var", f"sqlite:///{tmp_path / 'test.db'}")
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


@pytest.fixture
def service(house: House) -> Iterator[Connection]:
    with connect(house.address) as opened:
        yield opened


def mailing_type(service: Connection, name: str) -> int:
    entry = crm_pb2.CatalogEntry(catalog=crm_pb2.CATALOG_MAILING_TYPE, name=name)
    return service.embedded_crm.CreateCatalogEntry(embedded_crm_service_pb2.CreateCatalogEntryRequest(entry=entry)).id


def mail(service: Connection, mailing_type_id: int, recipient: mailing_pb2.Recipient) -> str:
    """A recipient's mail, as the browser gets it from somewhere else than the front door."""
    draft = mailing_pb2.Mailing(name="Spring", track_all_links=True, mailing_type_id=mailing_type_id, language="de")
    mailing = service.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft))
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=HTML.encode())
    template = service.mailings.TrackMessage(request).template
    minting = service.mailings.MintUrls(iter([mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=[recipient])]))
    (urls,) = [result for response in minting for result in response.results]
    return Renderer(template).render(urls_of(urls), dict(recipient.merge_fields)).html.decode()


def subscribed(service: Connection, person_id: int) -> list[bool]:
    request = crm_service_pb2.GetSubscriptionsRequest(subscribers=[crm_service_pb2.Subscriber(person_id=person_id)])
    return [each.subscribed for each in service.crm.GetSubscriptions(request).results[0].subscriptions]


def test_a_reader_unsubscribes_comes_back_and_chooses(browser: Browser, service: Connection, house: House) -> None:
    news, _ = mailing_type(service, "News"), mailing_type(service, "Offers")
    kari = mailing_pb2.Recipient(person_id=1, merge_fields={"name": "Kåre & <Co>"})
    page = browser.new_context(locale="fr-FR").new_page()
    page.set_content(mail(service, news, kari))
    page.get_by_role("link", name="Unsubscribe").click()
    assert page.locator("html").get_attribute("lang") == "de"
    assert subscribed(service, 1) == [True, True]
    page.get_by_role("button").click()
    page.get_by_role("heading", level=1).wait_for()
    assert subscribed(service, 1) == [False, True]
    page.get_by_role("button").click()
    page.get_by_text("News").wait_for()
    assert subscribed(service, 1) == [True, True]

    page.set_content(mail(service, news, kari))
    page.get_by_role("link", name="Subscriptions").click()
    page.get_by_label("News").uncheck()
    page.locator("button[name=save]").click()
    page.get_by_role("status").wait_for()
    assert subscribed(service, 1) == [False, True]
    page.locator("button[name=leave_all]").click()
    page.wait_for_load_state()
    assert subscribed(service, 1) == [False, False]


def test_a_message_viewed_online_looks_as_sent_and_runs_nothing(browser: Browser, service: Connection, house: House) -> None:
    kari = mailing_pb2.Recipient(person_id=1, merge_fields={"name": "Kåre & <Co>"})
    page = browser.new_page()
    page.set_content(mail(service, mailing_type(service, "News"), kari))
    page.get_by_role("link", name="View online").click()
    heading = page.get_by_role("heading", level=1)
    assert heading.inner_text() == "Dear Kåre & <Co>"
    assert heading.evaluate("it => getComputedStyle(it).color") == "rgb(1, 2, 3)"
    assert heading.evaluate("it => getComputedStyle(it).marginTop") == "0px"
    assert page.title() != "run"
    page.route("https://offers.example/**", lambda route: route.fulfill(body="<title>Offers</title>", content_type="text/html"))
    page.get_by_role("link", name="Offers").click()
    page.wait_for_url("https://offers.example/K%C3%A5re%20%26%20%3CCo%3E?from=mail#top")
    assert page.title() == "Offers"
