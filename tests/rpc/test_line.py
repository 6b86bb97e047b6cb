"""The thinnest line: a link is made, a URL minted, a click recorded, and the link shows it."""

from uuid_utils import uuid7

from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2


async def test_a_click_on_a_minted_url_is_counted_once_however_often_it_is_sent(stubs: Stubs) -> None:
    draft = link_pb2.Link(name="Spring", redirect=link_pb2.Redirect(url="https://example.com/spring"))
    link = await stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    minting = stubs.mailings.MintUrls()
    await minting.write(mailing_service_pb2.MintUrlsRequest(link_ids=[link.id], recipients=[mailing_pb2.Recipient(person_id=7)]))
    url = (await minting.read()).results[0].urls[0].url
    minting.cancel()
    click = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
    first, again = [await stubs.clicks.RecordClick(click) for _ in range(2)]
    assert first.location == again.location == "https://example.com/spring"
    assert (first.duplicate, again.duplicate) == (False, True)
    counts = (await stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link.id))).counts
    assert (counts.clicks, counts.clickers, counts.suspected) == (1, 1, 0)
