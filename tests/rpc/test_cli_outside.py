"""The command line's view of what waits for other systems: `runs`, `receivers`, `retry` and `doctor`."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign
from tests.support.cli import run
from tests.support.receivers import Receiver, answers, ok
from tests.support.server import serving
from trackedlinks.v1 import action_service_pb2, click_service_pb2, link_pb2, mailing_pb2

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU="


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with Receiver(answers(410)) as opened:
        yield opened


@pytest.fixture
async def campaign(sqlite_template: Path, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Campaign]:
    """A server with a dead run: its receiver was gone."""
    path = tmp_path / "test.db"
    path.write_bytes(sqlite_template.read_bytes())
    async with serving(f"sqlite:///{path}", tmp_path, webhook_allow=(receiver.pair,)) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link(actions=[link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=receiver.url("/"), secret=SECRET))])
        url = await campaign.url(link.id, mailing_pb2.Recipient(email="a@example.com"))
        await stubs.clicks.RecordClick(click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2]))
        with anyio.fail_after(20):
            while not await dead(campaign):
                await anyio.sleep(0.02)
        yield campaign


def cells_of(output: str) -> list[list[str]]:
    """The rows of a table, below its headings, in cells: they are apart by two blanks."""
    return [re.split(r" {2,}", line.strip()) for line in output.splitlines()[1:]]


async def dead(campaign: Campaign) -> int:
    known = (await campaign.stubs.actions.ListReceivers(action_service_pb2.ListReceiversRequest())).receivers
    return sum(receiver.dead_count for receiver in known)


async def test_a_dead_run_is_seen_by_the_doctor_and_goes_again(campaign: Campaign, receiver: Receiver) -> None:
    address = receiver.url("").rstrip("/")
    doctor = await run(campaign.stubs, "doctor", "--front", "http://127.0.0.1:1")
    (row,) = [row for row in cells_of(doctor.stdout) if row[0] == "receiver"]
    assert row[1:] == [address, "1 dead: answered 410"]
    assert doctor.exit_code == 1

    (row,) = cells_of((await run(campaign.stubs, "receivers")).stdout)
    assert row[:4] == [address, "0", "0", "1"]
    assert row[-1] == "answered 410"
    (row,) = cells_of((await run(campaign.stubs, "runs", "--link", "1", "--state", "dead")).stdout)
    assert row[-3:] == ["dead", "1", "answered 410"]

    assert (await run(campaign.stubs, "retry")).exit_code == 2
    assert "no dead runs" in (await run(campaign.stubs, "retry", "--click", str(uuid7()))).output
    receiver.behaviours = [ok]
    assert "1 run is tried again" in (await run(campaign.stubs, "retry", "--all")).output
    await receiver.received(2)
    with anyio.fail_after(20):
        while not cells_of((await run(campaign.stubs, "runs", "--link", "1", "--state", "done")).stdout):
            await anyio.sleep(0.02)
    assert "nothing waits" in (await run(campaign.stubs, "receivers")).output
