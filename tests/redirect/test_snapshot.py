"""The snapshot's file: what an older front door has left, what it tells the server, and when whoever writes it is stopped."""

import asyncio
import contextlib
import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from redirect import token
from redirect.settings import Settings
from redirect.snapshot import Snapshot
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, completed, learn, opened, path_of
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc, mailing_pb2

CLOSING_WHILE_READING = """
import sys, threading
from pathlib import Path
from redirect.snapshot import SnapshotWriter

writer = SnapshotWriter(Path(sys.argv[1]))
for _ in range(100):
    reading = threading.Thread(target=lambda: [writer.position() for _ in range(20)])
    reading.start()
    for _ in range(10):
        writer.close()
    reading.join()
writer.close()
"""


def test_a_front_door_that_stops_while_the_snapshot_is_opened_does_not_crash(tmp_path: Path) -> None:
    program = (sys.executable, "-c", CLOSING_WHILE_READING, tmp_path / "snapshot.db")
    assert subprocess.run(program, timeout=60, check=False).returncode == 0


@on_one_database
async def test_a_snapshot_of_an_older_front_door_is_good_until_it_is_told_anew(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    paths = [
        path_of(await campaign.url((await campaign.link(url=url)).id, person(1))) for url in ("https://a.example/", "https://b.example/")
    ]
    front = Settings(server=stubs.address, directory=tmp_path)
    away = front.model_copy(update={"server": NOWHERE})
    await learn(front)
    path = tmp_path / "front" / "snapshot.db"
    special = click_service_pb2.SpecialLink(kind=mailing_pb2.PLACEMENT_KIND_MANAGE_SUBSCRIPTIONS)
    older = [click_service_pb2.ClickAnswer(location="https://older.example/"), click_service_pb2.ClickAnswer(special_link=special)]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for number, answer in enumerate(older, 1):
            content = answer.SerializeToString()
            row = (hashlib.blake2b(content, digest_size=16).digest(), content, number)
            connection.execute("UPDATE answer SET (hash, content) = (?, ?) WHERE id = (SELECT answer_id FROM placement WHERE id = ?)", row)
        connection.execute("PRAGMA user_version = 0")
        connection.commit()
    redirect, manage = await opened(away, paths)
    assert (redirect.headers["location"], manage.status_code) == ("https://older.example/", 503)
    snapshot = Snapshot(path)
    known = await snapshot.answer(1)
    assert known is not None
    assert known.lets_leave, "the older one did not say"
    async with browsing(front), asyncio.timeout(20):
        while (known := await snapshot.answer(1)) is None or known.lets_leave:
            await asyncio.sleep(0.01)
    await snapshot.close()
    assert [each.headers["location"] for each in await opened(away, paths)] == ["https://a.example/", "https://b.example/"]


class OtherServer(click_service_pb2_grpc.ClickServiceServicer):
    """A server that tells of one placement, and keeps what it is asked."""

    def __init__(self, keys: token.Keys) -> None:
        self._metadata = ((token.KEYS_METADATA, keys.summary()),)
        self.asked: list[click_service_pb2.WatchPlacementsRequest] = []

    async def WatchPlacements(self, request: click_service_pb2.WatchPlacementsRequest, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.asked.append(request)
        await context.send_initial_metadata(self._metadata)
        answer = click_service_pb2.PlacementAnswer(placement_ids=[7, 4_000_000_000], location="https://example.com/")
        yield click_service_pb2.WatchPlacementsResponse(answers=[answer], position="1.7")
        yield click_service_pb2.WatchPlacementsResponse(position="1.7")


async def test_the_server_is_told_the_highest_placement_that_the_snapshot_knows(tmp_path: Path) -> None:
    other = OtherServer(token.create(tmp_path / "keys.json"))  # type: ignore[abstract]  # what it has not, nobody asks here
    server = grpc.aio.server()
    click_service_pb2_grpc.add_ClickServiceServicer_to_server(other, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    snapshot = Snapshot(tmp_path / "front" / "snapshot.db")
    async with browsing(Settings(server=f"127.0.0.1:{port}", directory=tmp_path)):
        await completed(snapshot)
        async with asyncio.timeout(20):
            while len(other.asked) < 2:
                await asyncio.sleep(0.01)
    await snapshot.close()
    await server.stop(0)
    assert [(asked.position, asked.highest_placement_id) for asked in other.asked[:2]] == [("", 0), ("1.7", 4_000_000_000)]
