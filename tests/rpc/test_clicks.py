"""ClickService: recording one click and streams of them, wrong input, and who clicked."""

from typing import Any

import grpc
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.ids import now, uuid7_at
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import click_pb2, click_service_pb2, error_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

DAY = 86_400_000


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def token_of(campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient | None = None) -> str:
    return (await campaign.url(link_id, recipient or person(1))).rpartition("/")[2]


def click(token: str, **fields: Any) -> click_service_pb2.RecordClickRequest:
    return click_service_pb2.RecordClickRequest(**{"click_id": str(uuid7()), "token": token} | fields)


async def test_the_same_click_gets_its_first_answer_even_after_the_link_was_edited(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link(url="https://example.com/first")
    request = click(await token_of(campaign, link.id))
    await stubs.clicks.RecordClick(request)
    change = link_pb2.Link(id=link.id, redirect=link_pb2.Redirect(url="https://example.com/second"))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    again = await stubs.clicks.RecordClick(request)
    assert (again.duplicate, again.location) == (True, "https://example.com/first")
    assert (await stubs.clicks.RecordClick(click(request.token))).location == "https://example.com/second"


async def test_a_duplicate_is_known_through_a_reset(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    request = click(await token_of(campaign, link.id))
    await stubs.clicks.RecordClick(request)
    await stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link.id))
    assert (await stubs.clicks.RecordClick(request)).duplicate
    assert await campaign.counts(link.id) == (0, 0, 0)


async def test_a_replayed_click_from_before_the_reset_does_not_reappear(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    token = await token_of(campaign, link.id)
    await stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link.id))
    earlier = uuid7_at(now() - 60_000)
    late = await stubs.clicks.RecordClick(click(token, click_id=earlier, replayed=True))
    assert late.location
    assert await campaign.counts(link.id) == (0, 0, 0)
    assert not await campaign.clickers(link_id=link.id)
    live = await stubs.clicks.RecordClick(click(token, click_id=uuid7_at(now() - 60_000)))
    assert live.location
    assert await campaign.counts(link.id) == (1, 1, 0)


@on_one_database
@pytest.mark.parametrize(
    "click_id", ["", "x", "01a20d2c-591b-744d-abe8", "{01a20d2c-591b-744d-abe8-9e591343daf3}", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"]
)
async def test_an_id_that_is_no_uuid7_is_refused(campaign: Campaign, stubs: Stubs, click_id: str) -> None:
    link = await campaign.link()
    request = click(await token_of(campaign, link.id), click_id=click_id, evidence=click_pb2.Evidence(method="OPTIONS"))
    problem = await refused(stubs.clicks.RecordClick(request))
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(problem.fields) == ["click_id", "evidence.method"]


async def test_a_click_outside_the_replay_window_is_refused(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    token = await token_of(campaign, link.id)
    old, ahead = (now() - 30 * DAY - 60_000, 0), (now() + 6 * 60_000, 2**48 - 1)
    for times, reason in ((old, "CLICK_TIME_REFUSED"), (ahead, "CLICK_TIME_AHEAD")):
        for time_of in times:
            problem = await refused(stubs.clicks.RecordClick(click(token, click_id=uuid7_at(time_of))))
            assert (problem.code, problem.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    for time_of in (now() - 30 * DAY + 60_000, now() + 4 * 60_000):
        assert (await stubs.clicks.RecordClick(click(token, click_id=uuid7_at(time_of)))).location
    assert await campaign.counts(link.id) == (2, 1, 0)


async def test_a_token_that_was_not_minted_here_is_refused(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    token = await token_of(campaign, link.id)
    for wrong in ("", "x", token[:-1], token + "A", token.swapcase(), "ø" * 20):
        problem = await refused(stubs.clicks.RecordClick(click(wrong)))
        assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "TOKEN_INVALID")


async def test_evidence_is_stored_cleaned_and_cut(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    evidence = click_pb2.Evidence(method="get", user_agent="Agent\x00\r\n\ud7ff " + "x" * 2000)
    await stubs.clicks.RecordClick(click(await token_of(campaign, link.id), evidence=evidence))
    (stored,) = (await stubs.clicks.ListClicks(click_service_pb2.ListClicksRequest(link_id=link.id))).clicks
    assert (stored.evidence.method, len(stored.evidence.user_agent)) == ("GET", 1024)
    assert stored.evidence.user_agent.startswith("Agent\ud7ff x")


async def test_a_stream_answers_each_click_by_its_id_and_a_refused_one_does_not_end_it(campaign: Campaign, stubs: Stubs) -> None:
    link, text = await campaign.link(url="https://example.com/s"), await campaign.link(text="<p>hello</p>")
    token = await token_of(campaign, link.id)
    requests = [click(token), click("forged"), click(await token_of(campaign, text.id)), click(token, click_id="no uuid"), click(token)]
    requests.append(requests[0])
    call = stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=requests[:3]))
    await call.write(click_service_pb2.RecordClicksRequest(clicks=requests[3:]))
    await call.done_writing()
    responses = [response async for response in call]
    answers = {answer.click_id: answer for response in responses for answer in response.answers}
    committed = {click_id for response in responses for click_id in response.committed}
    assert committed == {requests[index].click_id for index in (0, 2, 4)}
    assert answers[requests[0].click_id].location == answers[requests[4].click_id].location == "https://example.com/s"
    assert answers[requests[2].click_id].page.html == "<p>hello</p>"
    assert answers[requests[1].click_id].error.reason == error_pb2.ERROR_REASON_TOKEN_INVALID
    assert answers["no uuid"].error.reason == error_pb2.ERROR_REASON_INVALID_FIELD
    assert not answers["no uuid"].error.retryable
    assert await campaign.counts(link.id) == (2, 1, 0)


async def test_a_stream_with_too_many_clicks_in_a_request_ends_with_an_error(stubs: Stubs) -> None:
    call = stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest())
    await call.write(click_service_pb2.RecordClicksRequest(clicks=[click("x")] * 1001))
    assert not (await call.read()).answers
    problem = await refused(call.read())
    assert (problem.reason, list(problem.fields)) == ("INVALID_FIELD", ["clicks"])


async def test_clickers_and_clicks_are_paged_to_the_end_without_loss(campaign: Campaign, stubs: Stubs) -> None:
    link = await campaign.link()
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    people = [person(number) for number in range(1, 8)] + [mailing_pb2.Recipient(email="x@example.com")]
    mailing_id, minted = await campaign.mail(html, people)
    for (url,) in minted * 2:
        await stubs.clicks.RecordClick(click(url.rpartition("/")[2]))
    every_filter: list[dict[str, Any]] = [{"link_id": link.id}, {"mailing_id": mailing_id}, {"link_id": link.id, "mailing_id": mailing_id}]
    for filters in every_filter:
        clickers = await pages(stubs.clicks.ListClickers, click_service_pb2.ListClickersRequest(page_size=3, **filters), "clickers")
        assert [found.clicks for found in clickers] == [2] * 8
        assert len({(found.recipient.person_id, found.recipient.email) for found in clickers}) == 8
        clicks = await pages(stubs.clicks.ListClicks, click_service_pb2.ListClicksRequest(page_size=5, **filters), "clicks")
        assert len(clicks) == len({found.id for found in clicks}) == 16
        assert [found.id for found in clicks] == sorted((found.id for found in clicks), reverse=True)
    human = click_service_pb2.ListClicksRequest(link_id=link.id, verdict=click_pb2.VERDICT_HEAD)
    assert not (await stubs.clicks.ListClicks(human)).clicks


async def test_pages_of_large_clicks_and_links_are_cut_to_what_clients_take(campaign: Campaign, stubs: Stubs) -> None:
    links = [await campaign.link(text="ø" * 32_000) for _ in range(80)]
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in links).encode()
    mailing_id, (urls,) = await campaign.mail(html, [person(1)])
    listed = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id, page_size=1000)
    found = await pages(stubs.mailings.ListMailingLinks, listed, "links")
    assert [each.link.id for each in found] == [link.id for link in links]
    agent = click_pb2.Evidence(user_agent="é" * 1024)
    batch = [click(urls[0].rpartition("/")[2], evidence=agent) for _ in range(1000)]
    for _ in range(2):
        call = stubs.clicks.RecordClicks()
        await call.write(click_service_pb2.RecordClicksRequest(clicks=[click(each.token, evidence=agent) for each in batch]))
        await call.done_writing()
        assert sum([len(response.committed) async for response in call]) == 1000
    clicks = await pages(stubs.clicks.ListClicks, click_service_pb2.ListClicksRequest(mailing_id=mailing_id, page_size=1000), "clicks")
    assert len({each.id for each in clicks}) == 2000


async def test_questions_about_nothing_or_the_unknown_are_refused(stubs: Stubs) -> None:
    for call, request in (
        (stubs.clicks.ListClickers, click_service_pb2.ListClickersRequest),
        (stubs.clicks.ListClicks, click_service_pb2.ListClicksRequest),
    ):
        assert list((await refused(call(request()))).fields) == ["link_id"]
        assert (await refused(call(request(link_id=404)))).reason == "LINK_NOT_FOUND"
        assert (await refused(call(request(mailing_id=404)))).reason == "MAILING_NOT_FOUND"
        assert (await refused(call(request(mailing_id=-1)))).reason == "INVALID_FIELD"
    wrong = click_service_pb2.ListClicksRequest(link_id=1, verdict=99)  # type: ignore[arg-type]
    assert list((await refused(stubs.clicks.ListClicks(wrong))).fields) == ["verdict"]


async def pages(call: Any, request: Any, field: str) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await call(request)
        found += getattr(page, field)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found
