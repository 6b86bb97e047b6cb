"""What bounds the way of a click: the queue of the group commit, and what waits for a caller who does not read."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.locks import held
from tests.support.server import serving
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, error_pb2, link_pb2, script_pb2, script_service_pb2

BATCHES, CLICKS = 3, 800
"""As many batches as one stream may have under way."""

STATM = Path("/proc/self/statm")


@pytest.fixture
async def narrow(database_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Stubs]:
    """A server in which one click may wait."""
    async with serving(database_url, tmp_path, most_waiting_clicks=1) as client:
        yield client


def clicks(token: str, number: int) -> click_service_pb2.RecordClicksRequest:
    return click_service_pb2.RecordClicksRequest(
        clicks=[click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token) for _ in range(number)]
    )


async def test_a_click_beyond_those_that_may_wait_is_refused_and_may_come_again(database_url: str, narrow: Stubs) -> None:
    campaign = Campaign(narrow)
    link = await campaign.link()
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    with held(database_url):
        calls = [asyncio.ensure_future(narrow.clicks.RecordClick(each)) for each in clicks(token, 2).clicks]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        error = done.pop().exception()
    assert isinstance(error, grpc.aio.AioRpcError)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = {detail.type_url.rpartition(".")[2]: detail for detail in rpc_status.from_call(error).details}
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert details["ErrorInfo"].Unpack(info)
    assert details["RetryInfo"].Unpack(retry)
    assert (info.reason, retry.retry_delay.nanos) == ("CLICK_QUEUE_FULL", 250_000_000)
    assert (await waiting.pop()).location
    assert await campaign.counts(link.id) == (1, 1, 0)


async def test_a_batch_beyond_those_that_may_wait_is_refused_click_by_click_and_the_stream_goes_on(
    database_url: str, narrow: Stubs
) -> None:
    campaign = Campaign(narrow)
    link = await campaign.link(url="https://example.com/x")
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    call = narrow.clicks.RecordClicks()
    with held(database_url):
        await call.write(clicks(token, 1))
        await call.write(clicks(token, 2))
        refused = await call.read()
    assert (len(refused.answers), list(refused.committed)) == (2, [])
    assert all(answer.error.retryable and answer.error.reason == error_pb2.ERROR_REASON_CLICK_QUEUE_FULL for answer in refused.answers)
    assert [answer.location for answer in (await call.read()).answers] == ["https://example.com/x"]
    await call.done_writing()
    assert await campaign.counts(link.id) == (1, 1, 0)


async def test_a_batch_that_is_larger_than_what_may_wait_is_taken_when_nothing_waits(narrow: Stubs) -> None:
    link = await Campaign(narrow).link()
    token = (await Campaign(narrow).url(link.id, person(1))).rpartition("/")[2]
    call = narrow.clicks.RecordClicks()
    await call.write(clicks(token, 20))
    await call.done_writing()
    assert sum([len(response.committed) async for response in call]) == 20


@pytest.mark.skipif(not STATM.exists(), reason="only Linux says how much memory a process has")
async def test_pages_that_nobody_reads_are_not_made(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(text="ø" * 32_000 + "{{link.name}}")
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    call = stubs.clicks.RecordClicks()
    before = memory()
    for _ in range(BATCHES):
        await call.write(clicks(token, CLICKS))
    while (await campaign.counts(link.id))[0] < BATCHES * CLICKS:
        pass
    assert memory() - before < BATCHES * CLICKS * 64_000 / 3
    await call.done_writing()
    responses = [response async for response in call]
    assert all(response.ByteSize() < 500_000 for response in responses)
    assert sum(len(response.committed) for response in responses) == BATCHES * CLICKS
    answers = {answer.click_id: answer.page.html for response in responses for answer in response.answers}
    assert len(answers) == BATCHES * CLICKS
    assert len(set(answers.values())) == 1


async def test_a_page_that_cannot_be_made_is_a_defect_of_its_click_only(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    def clean(text: str, **_: object) -> str:
        raise ValueError(text)

    monkeypatch.setattr("server.clicks.answer.nh3.clean", clean)
    campaign = Campaign(stubs)
    script = await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="S", source="x = 1")))
    runs = link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id))
    links = [await campaign.link(), await campaign.link(text="page"), await campaign.link(text="page", actions=[runs])]
    links += [await campaign.link(actions=[runs]), await campaign.link()]
    tokens = [(await campaign.url(link.id, person(1))).rpartition("/")[2] for link in links]
    request = click_service_pb2.RecordClicksRequest(clicks=[clicks(token, 1).clicks[0] for token in tokens])
    call = stubs.clicks.RecordClicks()
    await call.write(request)
    await call.done_writing()
    responses = [response async for response in call]
    answers = [(answer.click_id, answer.WhichOneof("result")) for response in responses for answer in response.answers]
    ids = [click.click_id for click in request.clicks]
    assert sorted(answers) == sorted(zip(ids, ["location", "error", "error", "location", "location"], strict=True))
    assert sorted(click_id for response in responses for click_id in response.committed) == sorted(ids)


def memory() -> int:
    """Bytes that this process has in memory now; what protobuf keeps is no memory of Python's."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
