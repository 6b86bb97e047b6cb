"""What mails already out do when their link, its folder or its mailing changes; and who is counted."""

import httpx2

from tests.support.campaign import Campaign, person
from trackedlinks.v1 import (
    click_pb2,
    click_service_pb2,
    folder_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)


async def test_an_edited_link_leads_elsewhere_and_acts_otherwise_at_the_next_click(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    link = await campaign.link(url="https://example.com/old")
    kari = await campaign.person("Kari")
    url = await campaign.url(link.id, person(kari))
    assert (await browser.get(url)).headers["location"] == "https://example.com/old"
    action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="{{link.name}}"))
    change = link_pb2.Link(id=link.id, redirect=link_pb2.Redirect(url="https://example.com/new"), actions=[action])
    await campaign.stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert (await browser.get(url)).headers["location"] == "https://example.com/new"
    assert dict((await campaign.card(kari)).extra_fields) == {"clicked": "Link"}


async def test_a_deleted_link_goes_on_redirecting_counting_and_acting(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    kari = await campaign.person("Kari")
    action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes"))
    link = await campaign.link(actions=[action])
    url = await campaign.url(link.id, person(kari))
    await campaign.stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=link.id))
    assert (await browser.get(url)).status_code == 302
    assert await campaign.counts(link.id) == (1, 1, 0)
    assert dict((await campaign.card(kari)).extra_fields) == {"clicked": "yes"}
    assert link.id not in {
        each.id for each in (await campaign.stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))).links
    }


async def test_links_of_a_deleted_folder_go_on_working_in_the_parent(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    create = folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(name="Campaign"))
    folder = await campaign.stubs.folders.CreateFolder(create)
    link = await campaign.link(folder_id=folder.id)
    url = await campaign.url(link.id, person(1))
    await campaign.stubs.folders.DeleteFolder(folder_service_pb2.DeleteFolderRequest(id=folder.id, force=True))
    assert (await browser.get(url)).status_code == 302
    assert (await campaign.read(link.id)).folder_id == 0
    assert await campaign.counts(link.id) == (1, 1, 0)


async def test_links_of_a_deleted_mailing_go_on_working(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    mailing_id, ((url,),) = await campaign.mail(b'<a href="https://example.com/x">x</a>', [person(1)])
    await campaign.stubs.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mailing_id))
    assert (await browser.get(url)).headers["location"] == "https://example.com/x"
    mailing = await campaign.stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=mailing_id))
    assert (mailing.counts.clicks, mailing.counts.clickers) == (1, 1)


async def test_five_clicks_of_one_are_one_clicker_and_two_recipients_are_two(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    people = [person(1), mailing_pb2.Recipient(email="Ola@Example.com"), mailing_pb2.Recipient(email=" ola@EXAMPLE.com ")]
    mailing_id, ((kari,), (ola,), (also_ola,)) = await campaign.mail(b'<a href="https://example.com/x">x</a>', people)
    assert ola == also_ola
    for url in (kari, kari, kari, kari, kari, ola, also_ola):
        await browser.get(url)
    (link,) = await links_of(campaign, mailing_id)
    assert (link.counts.clicks, link.counts.clickers) == (7, 2)
    found = [(each.recipient.person_id, each.recipient.email, each.clicks) for each in await campaign.clickers(mailing_id=mailing_id)]
    assert sorted(found) == [(0, "Ola@Example.com", 2), (1, "", 5)]


async def test_heads_and_prefetches_are_stored_with_their_verdict_and_not_counted(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    kari = await campaign.person("Kari")
    action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes"))
    link = await campaign.link(actions=[action])
    url = await campaign.url(link.id, person(kari))
    head = await browser.head(url)
    prefetch = await browser.get(url, headers={"Sec-Purpose": "prefetch;prerender"})
    assert (head.status_code, prefetch.status_code) == (302, 302)
    assert await campaign.counts(link.id) == (0, 0, 2)
    assert not (await campaign.card(kari)).extra_fields
    clicks = (await campaign.stubs.clicks.ListClicks(click_service_pb2.ListClicksRequest(link_id=link.id))).clicks
    assert [(click.verdict, click.evidence.method, click.evidence.prefetch) for click in clicks] == [
        (click_pb2.VERDICT_PREFETCH, "GET", True),
        (click_pb2.VERDICT_HEAD, "HEAD", False),
    ]
    assert clicks[0].evidence.user_agent == "Mozilla/5.0 (a test)"


async def test_tests_count_nowhere_and_do_not_track_has_no_clicker(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    people = [person(1, test=True), person(2, do_not_track=True)]
    mailing_id, ((test,), (untracked,)) = await campaign.mail(b'<a href="https://example.com/x">x</a>', people)
    for url in (test, untracked):
        assert (await browser.get(url)).status_code == 302
    (link,) = await links_of(campaign, mailing_id)
    assert (link.counts.clicks, link.counts.clickers, link.counts.suspected) == (1, 0, 0)
    clicks = (await campaign.stubs.clicks.ListClicks(click_service_pb2.ListClicksRequest(mailing_id=mailing_id))).clicks
    assert [(click.test, click.recipient.person_id) for click in clicks] == [(False, 0), (True, 1)]


async def test_analytics_parameters_are_added_before_the_fragment_and_change_with_the_mailing(
    campaign: Campaign, browser: httpx2.AsyncClient
) -> None:
    analytics = mailing_pb2.GoogleAnalytics(source="news letter", campaign="spring")
    html = b'<a href="https://example.com/x?a#top">x</a>'
    mailing_id, ((url,),) = await campaign.mail(html, [person(1)], google_analytics=analytics)
    location = "https://example.com/x?a&utm_medium=email&utm_source=news%20letter&utm_campaign=spring#top"
    assert (await browser.get(url)).headers["location"] == location
    change = mailing_pb2.Mailing(id=mailing_id, google_analytics=mailing_pb2.GoogleAnalytics(source="other"))
    await campaign.stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=change))
    assert (await browser.get(url)).headers["location"] == "https://example.com/x?a&utm_medium=email&utm_source=other#top"


async def test_a_reset_reads_zero_at_once_and_mailings_lose_its_clicks(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    html = b'<a href="https://example.com/1">1</a><a href="https://example.com/2">2</a>'
    mailing_id, ((one, two), (other_one, _)) = await campaign.mail(html, [person(1), person(2)])
    for url in (one, two, other_one):
        await browser.get(url)
    first, second = await links_of(campaign, mailing_id)
    reset = await campaign.stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=first.link.id))
    assert (reset.counts.clicks, reset.counts.clickers, reset.HasField("last_reset_time")) == (0, 0, True)
    assert not await campaign.clickers(link_id=first.link.id)
    mailing = await campaign.stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=mailing_id))
    assert mailing.counts.clicks == 1
    assert [each.counts.clicks for each in await links_of(campaign, mailing_id)] == [0, 1]
    await browser.get(one)
    assert await campaign.counts(first.link.id) == (1, 1, 0)
    assert await campaign.counts(second.link.id) == (1, 1, 0)


async def links_of(campaign: Campaign, mailing_id: int) -> list[mailing_service_pb2.MailingLink]:
    request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id)
    return list((await campaign.stubs.mailings.ListMailingLinks(request)).links)
