"""Special links through the contract: how messages get them, what is kept for them, and what recipients' pages are told."""

from typing import Any

import grpc
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.crm import delete_entry
from tests.support.databases import on_one_database
from tests.support.special import MESSAGE, minted_urls, sent, to
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import (
    click_pb2,
    click_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
    recipient_service_pb2,
)

LINK, UNSUBSCRIBE = mailing_pb2.PLACEMENT_KIND_LINK, mailing_pb2.PLACEMENT_KIND_UNSUBSCRIBE
MANAGE, ONLINE = mailing_pb2.PLACEMENT_KIND_MANAGE_SUBSCRIPTIONS, mailing_pb2.PLACEMENT_KIND_VIEW_ONLINE
Change = recipient_service_pb2.SubscriptionChange


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def page(stubs: Stubs, path: str, renewal: str = "") -> Any:
    request = recipient_service_pb2.GetSubscriptionPageRequest(token=path.strip("/"), renewal=renewal)
    return await stubs.recipients.GetSubscriptionPage(request)


async def changed(stubs: Stubs, path: str, *changes: recipient_service_pb2.SubscriptionChange) -> Any:
    request = recipient_service_pb2.ChangeSubscriptionsRequest(token=path.strip("/"), changes=changes)
    return await stubs.recipients.ChangeSubscriptions(request)


async def test_a_message_gets_special_links_in_both_parts_and_one_for_its_header(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing(mailing_type_id=await campaign.entry("MAILING_TYPE", "News"), track_all_links=False)
    html = b'<a href="trackedlink:unsubscribe">a</a><A HREF=TrackedLink:Unsubscribe>b</A><a href="trackedlink:view-online">c</a>'
    text = b"trackedlink:unsubscribe, trackedlink:manage-subscriptions."
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html, text=text)
    first, second = [await stubs.mailings.TrackMessage(request) for _ in range(2)]
    assert first == second
    found = [
        (each.placement.kind, each.placement.part, each.placement.ordinal, each.placement.link_id, each.local) for each in first.tracked
    ]
    of_html, of_text = mailing_pb2.MESSAGE_PART_HTML, mailing_pb2.MESSAGE_PART_TEXT
    assert found == [
        (UNSUBSCRIBE, of_html, 0, 0, False),
        (UNSUBSCRIBE, of_html, 1, 0, False),
        (ONLINE, of_html, 0, 0, False),
        (UNSUBSCRIBE, of_text, 0, 0, False),
        (MANAGE, of_text, 0, 0, False),
    ]
    ids = {each.placement.id for each in first.tracked}
    header = first.template.unsubscribe_placement_id
    assert len(ids | {header}) == 6
    assert {*await minted_urls(campaign, mailing.id, person(1))} == ids | {header}
    links = await stubs.mailings.ListMailingLinks(mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing.id))
    assert not links.links


async def test_an_unknown_special_link_is_named_with_line_and_column(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    html = b'<p>\n <a href="trackedlink:unsubscribe-all">x</a><a href="trackedlink:link">y</a><a href="trackedlink: unsubscribe">'
    refusal = await refused(campaign.track(mailing.id, html))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_LINK_UNKNOWN")
    assert refusal.message == "html, line 2, column 11: there is no registered link 'trackedlink:unsubscribe-all'"


async def test_who_is_to_unsubscribe_needs_a_mailing_type(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    refusal = await refused(campaign.track(mailing.id, b'<a href="trackedlink:unsubscribe">x</a>'))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAILING_TYPE_MISSING")
    news, offers = await campaign.entry("MAILING_TYPE", "News"), await campaign.entry("MAILING_TYPE", "Offers")
    mail = await sent(campaign, person(1), mailing_type_id=news)

    async def retype(type_id: int) -> Any:
        update = mailing_service_pb2.UpdateMailingRequest(mailing=mailing_pb2.Mailing(id=mail.mailing_id, mailing_type_id=type_id))
        update.update_mask.paths.append("mailing_type_id")
        return await stubs.mailings.UpdateMailing(update)

    for type_id in (0, offers):
        assert (await refused(retype(type_id))).reason == "MAILING_TYPE_FIXED"
    await retype(news)
    assert [each.mailing_type for each in (await page(stubs, mail.unsubscribe)).subscriptions] == ["News"]


async def test_a_url_has_merge_fields_as_one_link_and_names_what_is_kept(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    registered = await campaign.link(url="https://example.com/{{ shop }}?q={{recipient.name}}")
    html = b'<a href="https://x.example/{{id}}">a</a><a href="https://x.example/{{id}}">b</a><p>{{ other }}</p>'
    html += f'<a href="trackedlink:{registered.id}">c</a>'.encode()
    tracked = await campaign.track(mailing.id, html)
    assert len({each.placement.link_id for each in tracked.tracked[:2]}) == 1
    assert list(tracked.template.kept_fields) == ["id", "shop", "recipient.name"]
    tracked = await campaign.track(mailing.id, html + b'<a href="trackedlink:view-online">d</a>')
    assert list(tracked.template.kept_fields) == ["id", "shop", "recipient.name", "other"]


async def test_who_does_not_bring_what_is_kept_is_told_in_place(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    await campaign.track(mailing.id, b'<a href="https://x.example/{{id}}/{{ no }}">a</a>')
    call = stubs.mailings.MintUrls()
    recipients = [person(1), person(2, merge_fields={"id": "2", "no": ""}), mailing_pb2.Recipient(), person(3, merge_fields={"id": "3"})]
    await call.write(mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=recipients))
    await call.done_writing()
    results = [result async for response in call for result in response.results]
    assert [len(result.urls) for result in results] == [0, 1, 1, 0]
    (violation,) = results[0].error.violations
    assert (violation.field, violation.description) == (
        "merge_fields",
        "the URLs of the message, or its view online, need values for: id, no",
    )


async def test_a_merge_field_in_what_chooses_the_server_is_never_tracked_nor_saved(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    html = b'<a href="https://{{host}}/">a</a><a href="{{url}}">b</a><a href="https://x.example{{path}}">c</a><a href="https://x.example:{{p}}/">'
    tracked = await campaign.track(mailing.id, html)
    assert not tracked.tracked
    assert {each.reason for each in tracked.left_alone} == {mailing_service_pb2.LEFT_ALONE_REASON_MERGE_FIELD}
    for url in ("https://{{host}}/", "https://x.example{{path}}"):
        assert list((await refused(campaign.link(url=url))).fields) == ["link.redirect.url"]


@on_one_database
@pytest.mark.parametrize(
    "address", ["track&Tab;edlink:x", "&#1;trackedlink:1", "track&#10;edlink:x&#13;&#10;Set-Cookie: a=b", "&#0;trackedlink:1"]
)
async def test_what_only_a_browser_would_read_as_trackedlink_is_left_alone(stubs: Stubs, campaign: Campaign, address: str) -> None:
    mailing = await campaign.mailing()
    tracked = await campaign.track(mailing.id, f'<a href="{address}">x</a>'.encode())
    assert not tracked.tracked
    assert len(tracked.left_alone) == 1


async def test_a_url_is_never_filled_in_to_more_than_browsers_take(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    tracked = await campaign.track(mailing.id, ('<a href="https://x.example/' + "{{a}}" * 90 + '">x</a>').encode())
    call = stubs.mailings.MintUrls()
    many = [person(1, merge_fields={"a": "漢" * 20_000}), person(2, merge_fields={"a": "b" * 80})]
    await call.write(mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=many))
    await call.done_writing()
    refusal, served = [result async for response in call for result in response.results]
    assert refusal.error.violations[0].description.startswith("would make a URL of 16,200,")
    link = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing.id)
    (found,) = (await stubs.mailings.ListMailingLinks(link)).links
    edited = link_pb2.Link(id=found.link.id, redirect=link_pb2.Redirect(url="https://x.example/" + "{{a}}" * 101))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=edited))
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=served.urls[0].url.rpartition("/")[2])
    assert (await stubs.clicks.RecordClick(request)).location == "https://x.example/"
    assert tracked.template.kept_fields


async def test_a_large_message_is_rendered_and_sent_piece_by_piece(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    await campaign.track(mailing.id, b"{{a}}" * 1000 + b'<a href="https://x.example/">x</a>')
    call = stubs.mailings.RenderMessages()
    values = [{"a": "x" * 2000}] * 6 + [{"a": "x" * 4000}]
    recipients = [person(number, merge_fields=each) for number, each in enumerate(values, 1)]
    await call.write(mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, recipients=recipients))
    await call.done_writing()
    responses = [response async for response in call]
    assert [(response.first_recipient, len(response.messages)) for response in responses] == [(number, 1) for number in range(7)]
    assert responses[-1].messages[0].error.violations[0].field == "merge_fields"


async def test_an_edited_link_says_what_is_kept_from_the_next_mail_on(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing()
    link = await campaign.link(url="https://x.example/")
    await campaign.track(mailing.id, f'<a href="trackedlink:{link.id}">x</a>'.encode())
    edited = link_pb2.Link(id=link.id, redirect=link_pb2.Redirect(url="https://x.example/{{shop}}"))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=edited))
    ((url,),) = await campaign.send(mailing.id, [person(1, merge_fields={"shop": "oslo"})])
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
    for duplicate in (False, True):
        answer = await stubs.clicks.RecordClick(request)
        assert (answer.location, answer.duplicate) == ("https://x.example/oslo", duplicate)


async def test_recording_a_special_link_stores_nothing(stubs: Stubs, campaign: Campaign) -> None:
    mail = await sent(campaign, person(1))
    for path, kind in ((mail.unsubscribe, UNSUBSCRIBE), (mail.header, UNSUBSCRIBE), (mail.manage, MANAGE), (mail.online, ONLINE)):
        request = click_service_pb2.RecordClickRequest(
            click_id=str(uuid7()), token=path.strip("/"), evidence=click_pb2.Evidence(method="GET")
        )
        answer = await stubs.clicks.RecordClick(request)
        assert answer.special_link.kind == kind
        assert not answer.HasField("click")
    clicks = await stubs.clicks.ListClicks(click_service_pb2.ListClicksRequest(mailing_id=mail.mailing_id))
    assert not clicks.clicks


async def test_a_page_tells_what_a_recipient_may_see(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    await campaign.entry("MAILING_TYPE", "Offers")
    mail = await sent(campaign, person(1), mailing_type_id=news, language="nb")
    one, every = await page(stubs, mail.unsubscribe), await page(stubs, mail.manage)
    assert (one.kind, one.language, one.trial, one.HasField("expire_time")) == (UNSUBSCRIBE, "nb", False, False)
    assert [each.mailing_type for each in one.subscriptions] == ["News"]
    assert (every.kind, every.HasField("expire_time")) == (MANAGE, True)
    assert [each.mailing_type for each in every.subscriptions] == ["News", "Offers"]
    for path in (mail.offers, mail.online, "/x", "/"):
        assert (await refused(page(stubs, path))).reason == "TOKEN_INVALID"
    assert (await refused(page(stubs, mail.manage, "x" * 20))).reason == "TOKEN_INVALID"


async def test_changes_name_what_is_on_the_page_and_nothing_twice(stubs: Stubs, campaign: Campaign) -> None:
    news, offers = await campaign.entry("MAILING_TYPE", "News"), await campaign.entry("MAILING_TYPE", "Offers")
    mail = await sent(campaign, person(1), mailing_type_id=news)
    assert list((await refused(changed(stubs, mail.unsubscribe))).fields) == ["changes"]
    assert list((await refused(changed(stubs, mail.unsubscribe, Change(), Change(mailing_type_id=offers)))).fields) == ["changes"]
    assert list((await refused(changed(stubs, mail.manage, *[Change(mailing_type_id=news)] * 2))).fields) == ["changes"]
    assert list((await refused(changed(stubs, mail.manage, Change(mailing_type_id=-1)))).fields) == ["changes[0].mailing_type_id"]
    refusal = await refused(changed(stubs, mail.unsubscribe, Change(mailing_type_id=offers)))
    assert (refusal.reason, list(refusal.fields)) == ("REFERENCE_NOT_FOUND", ["changes[0].mailing_type_id"])
    refusal = await refused(changed(stubs, mail.manage, Change(mailing_type_id=offers), Change(mailing_type_id=10**9, subscribed=True)))
    assert (refusal.reason, list(refusal.fields)) == ("REFERENCE_NOT_FOUND", ["changes[1].mailing_type_id"])
    after = await changed(stubs, mail.manage, Change(mailing_type_id=offers), Change(mailing_type_id=news, subscribed=True))
    assert [each.subscribed for each in after.subscriptions] == [True, False]


async def test_whoever_wants_to_leave_a_type_that_is_gone_has_left_it(stubs: Stubs, campaign: Campaign) -> None:
    news = await campaign.entry("MAILING_TYPE", "News")
    mail = await sent(campaign, person(1), mailing_type_id=news)
    await delete_entry(stubs, news)
    for found in (await page(stubs, mail.unsubscribe), await changed(stubs, mail.header, Change())):
        assert [(each.mailing_type, each.subscribed) for each in found.subscriptions] == [("Mailing", False)]


async def test_a_deleted_mailings_mails_can_be_left_and_viewed(stubs: Stubs, campaign: Campaign) -> None:
    mail = await sent(campaign, person(1))
    await stubs.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mail.mailing_id))
    assert not (await changed(stubs, mail.header, Change())).subscriptions[0].subscribed
    found = await stubs.recipients.ViewOnline(recipient_service_pb2.ViewOnlineRequest(token=mail.online.strip("/")))
    assert found.html == mail.html


async def test_a_recipient_who_is_sent_the_message_again_brings_new_values(stubs: Stubs, campaign: Campaign) -> None:
    mailing = await campaign.mailing(mailing_type_id=await campaign.entry("MAILING_TYPE", "News"))
    tracked = await campaign.track(mailing.id, MESSAGE)
    await to(campaign, tracked, mailing.id, person(1, merge_fields={"id": "old"}))
    mail = await to(campaign, tracked, mailing.id, person(1, merge_fields={"id": "new"}))
    found = await stubs.recipients.ViewOnline(recipient_service_pb2.ViewOnlineRequest(token=mail.online.strip("/")))
    assert found.html == mail.html
