"""Somebody else holds a lock in PostgreSQL, an operator or a migration: who wants it is told so, and nobody else suffers."""

import asyncio
from pathlib import Path
from zlib import crc32

import grpc
import psycopg
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign
from tests.support.held import held
from tests.support.receivers import Receiver, ok
from tests.support.server import serving
from tests.support.stubs import refused
from tests.support.writes import SECRET
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, script_pb2, script_service_pb2

MORE_THAN_CONNECTIONS = 20

pytestmark = pytest.mark.timeout(60)
"""Who waits for a lock without end would else wait for as long as any test may take."""

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def hook(url: str) -> link_pb2.LinkAction:
    return link_pb2.LinkAction(repeat_policy=link_pb2.REPEAT_POLICY_EVERY_CLICK, webhook=link_pb2.SendWebhook(url=url, secret=SECRET))


async def click(campaign: Campaign, url: str) -> click_service_pb2.RecordClickResponse:
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
    response: click_service_pb2.RecordClickResponse = await campaign.stubs.clicks.RecordClick(request, timeout=20)
    return response


@on_postgresql
async def test_a_locked_table_holds_up_who_wants_it_and_nobody_else(database_url: str, tmp_path: Path) -> None:
    async with Receiver(ok) as receiver, serving(database_url, tmp_path, webhook_allow=(receiver.pair,)) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link(actions=[hook(receiver.url())])
        url = await campaign.url(link.id)

        async def make(number: int) -> object:
            new = script_pb2.Script(name=f"Script {number}", source="log('x')")
            return await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=new), timeout=20)

        with held(database_url, ["script"]):
            waiting = [asyncio.create_task(refused(make(number))) for number in range(MORE_THAN_CONNECTIONS)]
            await asyncio.sleep(0)
            await click(campaign, url)
            assert (await stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link.id), timeout=20)).id == link.id
            await receiver.received(1)
            for told in await asyncio.gather(*waiting):
                assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
                assert "lock" in told.message
        assert await make(0)


@on_postgresql
async def test_the_outbox_goes_on_with_what_is_not_locked(database_url: str, tmp_path: Path) -> None:
    async with Receiver(ok) as one, Receiver(ok) as other, serving(database_url, tmp_path, webhook_allow=(one.pair, other.pair)) as stubs:
        campaign = Campaign(stubs)
        url = await campaign.url((await campaign.link(actions=[hook(one.url()), hook(other.url())])).id)
        first, second = sorted((one, other), key=lambda receiver: receiver.pair)
        with psycopg.connect(database_url) as connection:
            connection.execute("SELECT pg_advisory_lock(7453, %s)", [crc32(f"http://{first.pair}".encode()) & 0x7FFFFFFF])
            await click(campaign, url)
            await second.received(1)
            assert not first.requests
        await first.received(1)
