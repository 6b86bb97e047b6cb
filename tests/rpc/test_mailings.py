"""MailingService: mailings, tracking a message, own URLs and own messages, and the links of a mailing."""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf import field_mask_pb2

from server.store.database import Database
from tests.support.databases import on_one_database
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

HTML = b"""<p>Hi {{recipient.name}}!</p><a href="https://example.com/a?x=1&amp;y=2">A</a>
<a href="https://example.com/a?x=1&amp;y=2">A again</a> <a href='trackedlink:1'>R</a> <a href="mailto:a@example.com">M</a>"""
TEXT = b"Hi {{recipient.name}}: https://example.com/a?x=1&y=2."


async def mailing_of(stubs: Stubs, **fields: Any) -> mailing_pb2.Mailing:
    settings: dict[str, Any] = {"name": "March", "track_all_links": True} | fields
    draft = mailing_pb2.Mailing(**settings)
    mailing: mailing_pb2.Mailing = await stubs.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft))
    return mailing


async def track(stubs: Stubs, mailing_id: int, html: bytes = HTML, text: bytes = TEXT) -> mailing_service_pb2.TrackMessageResponse:
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing_id, html=html, text=text)
    response: mailing_service_pb2.TrackMessageResponse = await stubs.mailings.TrackMessage(request)
    return response


async def registered_link(stubs: Stubs, url: str = "https://example.com/registered") -> link_pb2.Link:
    draft = link_pb2.Link(name="Registered", redirect=link_pb2.Redirect(url=url))
    link: link_pb2.Link = await stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    return link


async def stream(call: Any, *requests: Any) -> list[Any]:
    for request in requests:
        await call.write(request)
    await call.done_writing()
    return [response async for response in call]


async def test_track_all_links_makes_one_local_link_per_distinct_url_and_one_placement_per_use(stubs: Stubs) -> None:
    link, mailing = await registered_link(stubs), await mailing_of(stubs)
    response = await track(stubs, mailing.id)
    found = [(t.placement.link_id, t.placement.part, t.placement.ordinal, t.local, t.placement.url) for t in response.tracked]
    local = found[0][0]
    url = "https://example.com/a?x=1&y=2"
    assert found == [(local, 1, 0, True, url), (local, 1, 1, True, url), (link.id, 1, 0, False, "trackedlink:1"), (local, 2, 0, True, url)]
    assert [(left.url, left.reason) for left in response.left_alone] == [
        ("mailto:a@example.com", mailing_service_pb2.LEFT_ALONE_REASON_NOT_HTTP)
    ]
    assert HTML[response.tracked[1].offset :].startswith(b"https://example.com/a?x=1&amp;y=2")


async def test_tracking_a_message_again_keeps_its_links_and_placements(stubs: Stubs) -> None:
    await registered_link(stubs)
    mailing = await mailing_of(stubs)
    first, again = await track(stubs, mailing.id), await track(stubs, mailing.id)
    assert first == again
    edited = await track(stubs, mailing.id, HTML.replace(b"A again", b"changed") + b'<a href="https://example.com/new">N</a>')
    assert [t.placement.id for t in edited.tracked][:3] == [t.placement.id for t in first.tracked][:3]


async def test_an_edited_local_link_is_found_again_by_the_address_in_the_message(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs)
    html = b'<a href="https://example.com/typo">x</a>'
    link_id = (await track(stubs, mailing.id, html, b"")).tracked[0].placement.link_id
    change = link_pb2.Link(id=link_id, redirect=link_pb2.Redirect(url="https://example.com/right"))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert (await track(stubs, mailing.id, html, b"")).tracked[0].placement.link_id == link_id


async def test_without_track_all_only_inserted_registered_links_are_tracked(stubs: Stubs) -> None:
    link = await registered_link(stubs)
    mailing = await mailing_of(stubs, track_all_links=False)
    response = await track(stubs, mailing.id)
    assert [t.placement.link_id for t in response.tracked] == [link.id]
    assert [left.reason for left in response.left_alone].count(mailing_service_pb2.LEFT_ALONE_REASON_NOT_REGISTERED) == 3


async def test_google_analytics_implies_that_all_links_are_tracked(stubs: Stubs) -> None:
    analytics = mailing_pb2.GoogleAnalytics(source="newsletter")
    assert (await mailing_of(stubs, track_all_links=False, google_analytics=analytics)).track_all_links
    plain = await mailing_of(stubs, track_all_links=False)
    change = mailing_pb2.Mailing(id=plain.id, google_analytics=analytics)
    assert (await stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=change))).track_all_links


async def test_an_unknown_inserted_link_is_refused_with_line_and_column_of_each(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs)
    request = mailing_service_pb2.TrackMessageRequest(
        mailing_id=mailing.id, html=b'<p>\n<a href="trackedlink:99">x</a>', text=b"see trackedlink:nonsense"
    )
    problem = await refused(stubs.mailings.TrackMessage(request))
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_LINK_UNKNOWN")
    assert problem.fields == {
        "html": "line 2, column 10: there is no registered link 'trackedlink:99'",
        "text": "line 1, column 5: there is no registered link 'trackedlink:nonsense'",
    }


@on_one_database
async def test_a_message_that_is_too_large_empty_or_in_an_unknown_charset_is_refused(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs)
    large = await refused(
        stubs.mailings.TrackMessage(mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=b" " * 3_000_000))
    )
    assert (large.code, large.reason, list(large.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE", ["html"])
    larger = await refused(
        stubs.mailings.TrackMessage(mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=b" " * 5_000_000))
    )
    assert larger.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    empty = await refused(stubs.mailings.TrackMessage(mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id)))
    assert (empty.reason, list(empty.fields)) == ("INVALID_FIELD", ["html"])
    utf16 = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=b"x", charset="utf-16")
    assert list((await refused(stubs.mailings.TrackMessage(utf16))).fields) == ["charset"]
    many = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=b"<a href=#>" * 2001)
    assert (await refused(stubs.mailings.TrackMessage(many))).reason == "MESSAGE_TOO_LARGE"


async def test_every_recipient_gets_an_own_message_and_a_bad_one_is_reported_in_its_place(stubs: Stubs) -> None:
    await registered_link(stubs)
    mailing = await mailing_of(stubs)
    await track(stubs, mailing.id)
    people = [
        mailing_pb2.Recipient(person_id=1, name="Kari & <Ola>"),
        mailing_pb2.Recipient(person_id=2),
        mailing_pb2.Recipient(email="no address"),
        mailing_pb2.Recipient(email="x@example.com", merge_fields={"recipient.name": "X"}),
    ]
    request = mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, sequence=5, recipients=people)
    (response,) = await stream(stubs.mailings.RenderMessages(), request)
    kari, nameless, bad, x = response.messages
    assert response.sequence == 5
    assert kari.html.startswith(b"<p>Hi Kari &amp; &lt;Ola&gt;!</p>")
    assert kari.text.startswith(b"Hi Kari & <Ola>: http://127.0.0.1:8080/")
    assert kari.text.endswith(b".")
    assert [violation.field for violation in nameless.error.violations] == ["merge_fields"]
    assert [violation.field for violation in bad.error.violations] == ["email"]
    assert x.html.startswith(b"<p>Hi X!</p>")
    assert x.html != kari.html


async def test_urls_are_minted_for_the_placements_of_the_message_in_answers_that_fit(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs, public_url="https://links.example.com/t")
    html = b"".join(b'<a href="https://example.com/%d">x</a>' % number for number in range(60))
    await track(stubs, mailing.id, html, b"")
    people = [mailing_pb2.Recipient(person_id=number) for number in range(1, 1001)]
    requests = [
        mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, sequence=1, recipients=people),
        mailing_service_pb2.MintUrlsRequest(sequence=2, recipients=people[:1]),
    ]
    responses = await stream(stubs.mailings.MintUrls(), *requests)
    first = [response for response in responses if response.sequence == 1]
    assert len(first) > 1
    assert all(response.ByteSize() < 1_100_000 for response in responses)
    assert [response.first_recipient for response in first] == [
        sum(len(earlier.results) for earlier in first[:index]) for index in range(len(first))
    ]
    urls = [url.url for response in first for result in response.results for url in result.urls]
    assert len(set(urls)) == 60_000
    assert all(url.startswith("https://links.example.com/t/") for url in urls)
    assert [url.url for url in responses[-1].results[0].urls] == urls[:60]


async def test_streams_refuse_a_subject_that_is_missing_or_changes(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs)
    missing = await refused(stream(stubs.mailings.MintUrls(), mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id)))
    assert (missing.code, missing.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_MISSING")
    nothing = await refused(stream(stubs.mailings.MintUrls(), mailing_service_pb2.MintUrlsRequest()))
    assert (nothing.reason, list(nothing.fields)) == ("INVALID_FIELD", ["link_ids"])
    both = await refused(stream(stubs.mailings.MintUrls(), mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, link_ids=[1])))
    assert list(both.fields) == ["link_ids"]
    unknown = await refused(stream(stubs.mailings.RenderMessages(), mailing_service_pb2.RenderMessagesRequest(mailing_id=404)))
    assert unknown.reason == "MAILING_NOT_FOUND"
    unknown_link = await refused(stream(stubs.mailings.MintUrls(), mailing_service_pb2.MintUrlsRequest(link_ids=[404])))
    assert unknown_link.reason == "LINK_NOT_FOUND"
    await track(stubs, mailing.id, b'<a href="https://example.com">x</a>', b"")
    requests = [mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id), mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id + 1)]
    assert list((await refused(stream(stubs.mailings.MintUrls(), *requests))).fields) == ["mailing_id"]
    crowd = mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=[mailing_pb2.Recipient()] * 1001)
    assert list((await refused(stream(stubs.mailings.MintUrls(), crowd))).fields) == ["recipients"]


async def test_the_address_of_a_do_not_track_recipient_is_written_nowhere(stubs: Stubs, database: Database) -> None:
    mailing = await mailing_of(stubs)
    await track(stubs, mailing.id, b'<a href="https://example.com">x</a>', b"")
    people = [mailing_pb2.Recipient(email="no@example.com", do_not_track=True), mailing_pb2.Recipient(email="yes@example.com")]
    await stream(stubs.mailings.MintUrls(), mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=people))
    stored = database.read(lambda connection: connection.exec_driver_sql("SELECT address FROM address").scalars().all())
    assert stored == ["yes@example.com"]


async def test_a_deleted_mailing_leaves_lists_and_takes_no_message(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs)
    deleted = await stubs.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mailing.id, etag=mailing.etag))
    assert deleted.HasField("delete_time")
    assert (await stubs.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mailing.id))) == deleted
    assert not (await stubs.mailings.ListMailings(mailing_service_pb2.ListMailingsRequest())).mailings
    assert (await stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=mailing.id))) == deleted
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=b"x")
    assert (await refused(stubs.mailings.TrackMessage(request))).reason == "MAILING_DELETED"


async def test_a_mailing_is_changed_by_mask_and_etag(stubs: Stubs) -> None:
    mailing = await mailing_of(stubs, google_analytics=mailing_pb2.GoogleAnalytics(source="s", campaign="c"))
    mask = field_mask_pb2.FieldMask(paths=["delivered_count", "google_analytics.campaign"])
    change = mailing_pb2.Mailing(
        id=mailing.id, etag=mailing.etag, delivered_count=7, google_analytics=mailing_pb2.GoogleAnalytics(campaign="d")
    )
    changed = await stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=change, update_mask=mask))
    assert (changed.name, changed.delivered_count) == ("March", 7)
    assert (changed.google_analytics.source, changed.google_analytics.campaign) == ("s", "d")
    stale = await refused(stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=change, update_mask=mask)))
    assert (stale.code, stale.reason, stale.metadata["etag"]) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH", changed.etag)


async def test_a_wrong_mailing_is_refused_with_every_violation_at_once(stubs: Stubs) -> None:
    draft = mailing_pb2.Mailing(
        name="",
        language="no such tag!",
        public_url="ftp://x",
        delivered_count=-1,
        google_analytics=mailing_pb2.GoogleAnalytics(campaign="c"),
    )
    problem = await refused(stubs.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft)))
    fields = ["mailing.name", "mailing.language", "mailing.public_url", "mailing.google_analytics.source", "mailing.delivered_count"]
    assert list(problem.fields) == fields
    unknown = await refused(
        stubs.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=mailing_pb2.Mailing(name="x", mailing_type_id=9)))
    )
    assert (unknown.reason, list(unknown.fields)) == ("REFERENCE_NOT_FOUND", ["mailing.mailing_type_id"])


async def test_own_newsletters_are_tracked_and_rendered_byte_for_byte(stubs: Stubs) -> None:
    await registered_link(stubs)
    mailing = await mailing_of(stubs)
    html = (
        (Path(__file__).parent.parent / "mails" / "spring.html")
        .read_bytes()
        .replace(b"trackedlink:unsubscribe", b"https://example.com/stop")
    )
    response = await track(stubs, mailing.id, html, b"")
    literals = b"".join(segment.literal for segment in response.template.html)
    assert len(literals) < len(html)
    assert len(response.tracked) + len(response.left_alone) >= 10
