"""The five documented uses of DOMAIN's acceptance scenarios, through a real front door and a real server."""

import httpx2

from tests.support.campaign import Campaign, person
from trackedlinks.v1 import embedded_crm_service_pb2, link_pb2


async def click(browser: httpx2.AsyncClient, url: str) -> httpx2.Response:
    response = await browser.get(url)
    assert response.status_code in (200, 302), response.text
    return response


async def test_a_link_in_three_mailings_shows_interest_over_all_of_them(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    link = await campaign.link("Read more")
    html = f'<a href="trackedlink:{link.id}">Read more</a>'.encode()
    kari, ola = await campaign.person("Kari"), await campaign.person("Ola")
    mailings = []
    for name in ("January", "February", "March"):
        mailing_id, ((kari_url,), (ola_url,)) = await campaign.mail(html, [person(kari), person(ola)], name=name)
        mailings.append(mailing_id)
        await click(browser, kari_url)
        if name == "March":
            await click(browser, ola_url)
    assert await campaign.counts(link.id) == (4, 2, 0)
    found = [(clicker.recipient.name, clicker.mailing_id, clicker.clicks) for clicker in await campaign.clickers(link_id=link.id)]
    assert found == [("Kari", mailings[0], 1), ("Kari", mailings[1], 1), ("Kari", mailings[2], 1), ("Ola", mailings[2], 1)]
    assert [clicker.recipient.name for clicker in await campaign.clickers(mailing_id=mailings[2])] == ["Kari", "Ola"]


async def test_send_me_more_info_adds_to_a_static_selection(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    selection = await campaign.entry("SELECTION", "Wants more info")
    kari = await campaign.person("Kari")
    action = link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[selection]))
    link = await campaign.link("Send me more info", actions=[action])
    _, ((url,),) = await campaign.mail(f'<a href="trackedlink:{link.id}">x</a>'.encode(), [person(kari)])
    for _ in range(2):
        await click(browser, url)
    assert [found.name for found in (await campaign.card(kari)).selections] == ["Wants more info"]


async def test_contact_me_makes_a_phone_follow_up_for_our_contact_in_a_campaign_project(
    campaign: Campaign, browser: httpx2.AsyncClient
) -> None:
    project, liv, per = await campaign.entry("PROJECT", "Spring"), await campaign.entry("USER", "Liv"), await campaign.entry("USER", "Per")
    kari, ola = await campaign.person("Kari", our_contact_id=liv), await campaign.person("Ola")
    follow_up = link_pb2.CreateFollowUp(
        type=link_pb2.FOLLOW_UP_TYPE_PHONE_CALL,
        description="Call {{recipient.name}} about {{mailing.name}}",
        project_id=project,
        assign_to_our_contact=True,
        default_recipient=per,
    )
    link = await campaign.link("Contact me", actions=[link_pb2.LinkAction(follow_up=follow_up)])
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    _, ((kari_url,), (ola_url,)) = await campaign.mail(html, [person(kari), person(ola)], name="Spring news")
    for url in (kari_url, kari_url, ola_url):
        await click(browser, url)
    made = (await campaign.stubs.embedded_crm.ListFollowUps(embedded_crm_service_pb2.ListFollowUpsRequest(page_size=1000))).follow_ups
    assert sorted((found.person_id, found.assigned_to, found.project_id, found.description) for found in made) == [
        (kari, liv, project, "Call Kari about Spring news"),
        (ola, per, project, "Call Ola about Spring news"),
    ]
    assert {found.type for found in made} == {link_pb2.FOLLOW_UP_TYPE_PHONE_CALL}


async def test_stop_this_newsletter_removes_the_interest_and_adds_to_cancelled(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    interest, cancelled = await campaign.entry("INTEREST", "Newsletter"), await campaign.entry("SELECTION", "Cancelled")
    kari = await campaign.person("Kari", interests=[{"id": interest}])
    actions = [
        link_pb2.LinkAction(interests=link_pb2.ChangeInterests(remove=[interest])),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[cancelled])),
    ]
    link = await campaign.link("Stop this newsletter", text="<p>You will hear no more from us, {{recipient.name}}.</p>", actions=actions)
    _, ((url,),) = await campaign.mail(f'<a href="trackedlink:{link.id}">x</a>'.encode(), [person(kari)])
    page = await click(browser, url)
    assert "You will hear no more from us, Kari." in page.text
    card = await campaign.card(kari)
    assert (list(card.interests), [found.id for found in card.selections]) == ([], [cancelled])


async def test_book_a_consultant_makes_a_request_and_shows_a_text(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    category, head = await campaign.entry("CATEGORY", "Consultant"), await campaign.entry("USER", "Head of consultancy")
    kari = await campaign.person("Kari")
    request = link_pb2.CreateServiceRequest(
        title="Consultant for {{recipient.name}}", category_id=category, owner=link_pb2.SERVICE_REQUEST_OWNER_USER, owner_id=head
    )
    link = await campaign.link(
        "Book a consultant", text="<h1>We will contact you</h1>", actions=[link_pb2.LinkAction(service_request=request)]
    )
    _, ((url,),) = await campaign.mail(f'<a href="trackedlink:{link.id}">x</a>'.encode(), [person(kari)])
    page = await click(browser, url)
    assert "<h1>We will contact you</h1>" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    await click(browser, url)
    listed = await campaign.stubs.embedded_crm.ListServiceRequests(embedded_crm_service_pb2.ListServiceRequestsRequest(person_id=kari))
    (made,) = listed.service_requests
    assert (made.title, made.category_id, made.owner_id, made.origin) == ("Consultant for Kari", category, head, "marketing link")
    assert await campaign.counts(link.id) == (2, 1, 0)
