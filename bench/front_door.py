"""The way of a click: the group commit alone, and the full job through a real front door and a real server."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from uuid_utils import uuid7

from redirect import token
from server.clicks.group_commit import GroupCommit
from server.house import now
from server.model.click import Evidence, SeenClick
from server.store.database import Database
from server.store.migrate import migrate
from server.store.recording import Recorder
from tests.support.campaign import Campaign, person
from tests.support.house import House
from tests.support.stubs import Stubs
from trackedlinks.v1 import link_pb2

CALLERS = 64
SECONDS = 4.0
PLACEMENTS = 10
"""Links of the newsletter; the first has an action, so every tenth placement acts."""

_STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
async def found(_): return Response(status_code=302, headers={"location": "https://example.com/"})
app = Starlette(routes=[Route("/{token}", found)])
"""


async def full_job_and_bare() -> tuple[float, float]:
    """Clicks per second over 64 connections through the house, every tenth placement with an embedded action; and a bare Starlette 302.

    Both on granian. The load comes from one process on the same cores, for both alike.
    """
    with tempfile.TemporaryDirectory() as directory:
        house = House(Path(directory) / "var", f"sqlite:///{directory}/bench.db")
        try:
            house.start()
            paths = await _newsletter(house)
            full = await _clicks_per_second(house.front_port, paths)
        finally:
            house.stop()
    async with _bare() as port:
        return full, await _clicks_per_second(port, paths)


def group_commit_and_single() -> tuple[float, float]:
    """Clicks per second that 64 callers get from the group commit, and from a transaction for each click."""
    return _recorded(grouped=True), _recorded(grouped=False)


def _recorded(grouped: bool) -> float:
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/bench.db")
        migrate(database)
        database.write(lambda connection: connection.exec_driver_sql(_ONE_LINK))
        database.write(lambda connection: connection.exec_driver_sql(_ONE_PLACEMENT))
        commit, recorder = GroupCommit(database, 10_000, now), Recorder(database, now)
        deadline = time.perf_counter() + SECONDS
        counts = [0] * CALLERS

        def call(caller: int) -> None:
            answered = threading.Event()
            while time.perf_counter() < deadline:
                seen = SeenClick(uuid7().bytes, 1, 2 * (caller + 1), False, False, Evidence())
                if grouped:
                    answered.clear()
                    commit.submit([seen], lambda _: answered.set())
                    answered.wait()
                else:
                    database.submit(lambda each=seen: recorder.record([each])).result()  # type: ignore[misc]
                counts[caller] += 1

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        database.close()
        return sum(counts) / SECONDS


async def _newsletter(house: House) -> list[str]:
    stubs = Stubs(house.address)
    campaign = Campaign(stubs)
    for number in range(100):
        await campaign.person(f"Person {number}")
    action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="{{click.time}}"))
    acting = await campaign.link(url="https://example.com/", actions=[action])
    links = [f"trackedlink:{acting.id}", *(f"https://example.com/{number}" for number in range(1, PLACEMENTS))]
    html = "".join(f'<a href="{link}">x</a>' for link in links).encode()
    _, minted = await campaign.mail(html, [person(number) for number in range(1, 101)])
    await stubs.channel.close()
    verifier = token.Verifier(token.load(house.directory / "keys.json"))
    paths = ["/" + url.rpartition("/")[2] for urls in minted for url in urls]
    assert all(verifier.verify(path[1:].encode()) for path in paths)
    return paths


@contextlib.asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        (Path(directory) / "bare.py").write_text(_STARLETTE)
        command = [str(Path(sys.executable).parent / "granian"), "--interface", "asgi", "--loop", "uvloop", "--port", str(port), "bare:app"]
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _clicks_per_second(port: int, paths: Sequence[str]) -> float:
    """What 64 connections get that ask again as soon as they are answered. A request is written and a head read as bytes: a client library
    would cost more than what is measured."""
    deadline = time.perf_counter() + SECONDS
    answered = 0

    async def connection(number: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while time.perf_counter() < deadline:
            writer.write(f"GET {paths[place % len(paths)]} HTTP/1.1\r\nhost: x\r\nuser-agent: bench\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 302"), head
            answered += 1
            place += CALLERS + 1
        writer.close()

    await asyncio.gather(*(connection(number) for number in range(CALLERS)))
    return answered / SECONDS


_ONE_LINK = """
INSERT INTO link (id, name, name_key, search_key, folder_id, response, actions, mailing_id, creator, updater, create_time, update_time,
  revision, generation)
VALUES (1, 'x', 'x', 'x', 0, '{"tag": "redirect", "url": "https://example.com/"}', '[]', 0, 0, 0, 0, 0, 1, 0)
"""
_ONE_PLACEMENT = "INSERT INTO placement (id, mailing_id, link_id, kind, part, ordinal, url) VALUES (1, 0, 1, 1, 4, 0, '')"
