"""How a server stops: idle streams end at once, what is in hand is answered, and everybody is told why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from uuid_utils import uuid7

from server.house import House
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.locks import held
from tests.support.server import running
from tests.support.stubs import Refused, Stubs
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

NEVER = 3600.0
"""A drain that no test waits for."""

SECONDS = 30
"""What a test that waits for it fails after."""


@pytest.fixture
async def house(database_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[tuple[House, Stubs]]:
    async with running(database_url, tmp_path) as opened:
        yield opened


async def end_of(call: Any) -> Refused:
    """How a stream that has nothing more to say ends; fails when it does so well."""
    try:
        while (response := await call.read()) != grpc.aio.EOF:
            assert response.IsInitialized()
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    raise AssertionError("the stream ended with OK")


@on_one_database
async def test_one_idle_stream_of_each_kind_ends_at_once_and_its_caller_is_told(house: tuple[House, Stubs]) -> None:
    opened, stubs = house
    campaign = Campaign(stubs)
    link = await campaign.link()
    mailing = await campaign.mailing()
    await campaign.track(mailing.id, f'<a href="trackedlink:{link.id}">x</a>'.encode())
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    recipients = [mailing_pb2.Recipient(person_id=1)]

    health = health_pb2_grpc.HealthStub(stubs.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(stubs.channel).ServerReflectionInfo()
    await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert (await reflection.read()).list_services_response.service
    minting = stubs.mailings.MintUrls()
    await minting.write(mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=recipients))
    assert (await minting.read()).results
    rendering = stubs.mailings.RenderMessages()
    await rendering.write(mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, recipients=recipients))
    assert (await rendering.read()).messages
    clicks = stubs.clicks.RecordClicks()
    click = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
    await clicks.write(click_service_pb2.RecordClicksRequest(clicks=[click]))
    assert (await clicks.read()).committed
    watching = stubs.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest())
    assert (await watching.read()).answers
    silent = [stubs.clicks.RecordClicks(), stubs.mailings.MintUrls(), stubs.mailings.RenderMessages()]  # nothing was ever sent on these
    await silent[0].initial_metadata()

    async with asyncio.timeout(SECONDS):
        await opened.stop(NEVER)
    assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    ends = [await end_of(call) for call in (health, reflection, minting, rendering, clicks, watching, *silent)]
    assert {(end.code, end.reason) for end in ends} == {(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")}


async def test_what_a_stream_has_in_hand_is_answered_before_it_ends(house: tuple[House, Stubs], database_url: str) -> None:
    opened, stubs = house
    campaign = Campaign(stubs)
    link = await campaign.link()
    token = (await campaign.url(link.id, person(1))).rpartition("/")[2]
    click = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
    clicks = stubs.clicks.RecordClicks()
    await clicks.initial_metadata()
    with held(database_url):
        await clicks.write(click_service_pb2.RecordClicksRequest(clicks=[click]))
        await _written(stubs)
        stopping = asyncio.ensure_future(opened.stop(NEVER))
        await _says(stubs, health_pb2.HealthCheckResponse.NOT_SERVING)
    async with asyncio.timeout(SECONDS):
        assert list((await clicks.read()).committed) == [click.click_id]
        end = await end_of(clicks)
        assert (end.code, end.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
        await stopping


async def test_a_call_that_is_not_done_when_the_drain_is_over_is_told_so(house: tuple[House, Stubs], database_url: str) -> None:
    opened, stubs = house
    await Campaign(stubs).link()
    with held(database_url):
        reset = asyncio.ensure_future(stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=1)))
        update = asyncio.ensure_future(stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=1, name="Later"))))
        await _written(stubs)
        stopping = asyncio.ensure_future(opened.stop(0))
        for call in (reset, update):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            refusal = Refused(raised.value)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    async with asyncio.timeout(SECONDS):
        await stopping


async def _written(stubs: Stubs) -> None:
    """Returns when the server has what was sent before on this connection: calls on one are taken in order."""
    await stubs.links.ListLinks(link_service_pb2.ListLinksRequest())


async def _says(stubs: Stubs, status: Any) -> None:
    health = health_pb2_grpc.HealthStub(stubs.channel)
    with contextlib.suppress(grpc.aio.AioRpcError):
        while (await health.Check(health_pb2.HealthCheckRequest())).status != status:
            await asyncio.sleep(0)
