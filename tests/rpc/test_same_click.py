"""The same click more than once at a time, and a click id that comes with the token of another click."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.server import serving
from tests.support.stubs import Refused, Stubs, refused
from trackedlinks.v1 import click_pb2, click_service_pb2, error_pb2, link_pb2, mailing_pb2, script_pb2, script_service_pb2

REUSED = error_pb2.ERROR_REASON_CLICK_ID_REUSED
LONG = 'x = 0\nwhile x < 20000:\n    x = x + 1\nreturnUrl = f"https://example.org/{linkHits}"'
"""A script that runs for some milliseconds: what comes meanwhile finds the click neither stored nor prepared."""


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


async def scripted(campaign: Campaign, source: str = LONG) -> link_pb2.Link:
    """A link that runs a script."""
    request = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name=f"Script {uuid7()}", source=source))
    made = await campaign.stubs.scripts.CreateScript(request)
    return await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=made.id))])


async def draft(campaign: Campaign, link_id: int, recipient: mailing_pb2.Recipient | None = None, click_id: str = "", **fields: Any) -> Any:
    token = (await campaign.url(link_id, recipient)).rpartition("/")[2]
    return click_service_pb2.RecordClickRequest(click_id=click_id or str(uuid7()), token=token, **fields)


async def test_the_same_click_while_its_script_runs_gets_its_first_answer(campaign: Campaign) -> None:
    link = await scripted(campaign)
    for count in range(1, 5):
        same = await draft(campaign, link.id)
        live, replayed = same, click_service_pb2.RecordClickRequest(click_id=same.click_id, token=same.token, replayed=True)
        calls = [campaign.stubs.clicks.RecordClick(live if number % 2 else replayed) for number in range(8)]
        answers = await asyncio.gather(*calls)
        assert {answer.location for answer in answers} == {f"https://example.org/{count}"}
        assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 7
    assert (await campaign.counts(link.id))[0] == 4


async def test_the_same_click_over_several_streams_while_its_script_runs_is_answered_on_each(campaign: Campaign) -> None:
    link = await scripted(campaign)
    clicks = [await draft(campaign, link.id) for _ in range(3)]

    async def over_a_stream() -> dict[str, str]:
        call = campaign.stubs.clicks.RecordClicks()
        await call.write(click_service_pb2.RecordClicksRequest(clicks=[*clicks, *clicks]))
        await call.done_writing()
        found = [(answer.click_id, answer.location) async for response in call for answer in response.answers]
        assert len(found) == 6
        assert len(set(found)) == 3
        return dict(found)

    first, *others = await asyncio.gather(*[over_a_stream() for _ in range(4)])
    assert all(each == first for each in others)
    assert all(location.startswith("https://example.org/") for location in first.values())
    assert (await campaign.counts(link.id))[0] == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_same_click_at_two_servers_gets_its_first_answer(campaign: Campaign, database_url: str, tmp_path: Path) -> None:
    link = await scripted(campaign)
    async with serving(database_url, tmp_path) as other:
        for count in range(1, 5):
            same = await draft(campaign, link.id)
            answers = await asyncio.gather(*[stubs.clicks.RecordClick(same) for stubs in (campaign.stubs, other) * 3])
            assert {answer.location for answer in answers} == {f"https://example.org/{count}"}
            assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 5


async def test_an_id_that_comes_with_another_token_is_refused_and_changes_nothing(campaign: Campaign) -> None:
    one, two = await campaign.link(url="https://one.example/"), await campaign.link(url="https://two.example/")
    kari, ola = person(await campaign.person("Kari")), person(await campaign.person("Ola"))
    first = await draft(campaign, one.id, kari)
    recorded = await campaign.stubs.clicks.RecordClick(first)
    for link, recipient in ((two, kari), (one, ola), (one, None)):
        other = await draft(campaign, link.id, recipient, first.click_id)
        problem = await refused(campaign.stubs.clicks.RecordClick(other))
        assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CLICK_ID_REUSED")
    again = await campaign.stubs.clicks.RecordClick(first)
    assert (again.location, again.duplicate) == ("https://one.example/", True)
    assert again.click == recorded.click
    assert (await campaign.counts(one.id), await campaign.counts(two.id)) == ((1, 1, 0), (0, 0, 0))


async def test_of_two_tokens_with_one_id_in_a_batch_the_first_is_recorded(campaign: Campaign) -> None:
    one, two = await campaign.link(url="https://one.example/"), await campaign.link(url="https://two.example/")
    first = await draft(campaign, one.id)
    other = await draft(campaign, two.id, click_id=first.click_id)
    call = campaign.stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=[first, other, first]))
    await call.done_writing()
    answers = [answer async for response in call for answer in response.answers]
    assert [(answer.location, answer.error.reason) for answer in answers] == [
        ("https://one.example/", 0),
        ("", REUSED),
        ("https://one.example/", 0),
    ]
    assert not answers[1].error.retryable
    assert (await campaign.counts(one.id), await campaign.counts(two.id)) == ((1, 0, 0), (0, 0, 0))


async def test_tokens_with_one_id_that_wait_for_scripts_are_one_click_and_refusals(campaign: Campaign) -> None:
    one, two = await scripted(campaign), await scripted(campaign, LONG.replace("example.org", "two.example"))
    for _ in range(3):
        first = await draft(campaign, one.id)
        other = await draft(campaign, two.id, click_id=first.click_id)
        calls = [campaign.stubs.clicks.RecordClick(each) for each in (first, other) * 3]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        given = {answer.location.rpartition("/")[0] for answer in answers if not isinstance(answer, BaseException)}
        assert len(given) == 1
        problems = [Refused(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert 3 <= len(problems) < 6
        assert {problem.reason for problem in problems} == {"CLICK_ID_REUSED"}
    assert (await campaign.counts(one.id))[0] + (await campaign.counts(two.id))[0] == 3


async def test_a_test_and_a_click_are_not_the_same_click(campaign: Campaign) -> None:
    link = await campaign.link()
    first = await draft(campaign, link.id, mailing_pb2.Recipient(email="a@example.com", test=True))
    await campaign.stubs.clicks.RecordClick(first)
    other = await draft(campaign, link.id, mailing_pb2.Recipient(email="a@example.com"), first.click_id)
    assert (await refused(campaign.stubs.clicks.RecordClick(other))).reason == "CLICK_ID_REUSED"
    seen = click_pb2.Evidence(method="HEAD")
    again = await campaign.stubs.clicks.RecordClick(
        click_service_pb2.RecordClickRequest(click_id=first.click_id, token=first.token, evidence=seen)
    )
    assert (again.duplicate, again.click.evidence.method) == (True, "GET")
