"""What bad receivers and a bad CRM cost those who click: latencies at a fixed rate through a real front door and a real server."""

import asyncio
import contextlib
import math
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc

from bench.figure import Figure, Plan, ratio
from tests.support.campaign import Campaign, person
from tests.support.house import House
from tests.support.receivers import Behaviour, Receiver, hangs, ok
from tests.support.stubs import Stubs
from trackedlinks.v1 import link_pb2

PER_SECOND = 200
SECONDS = 10.0
CONNECTIONS = 64
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU="


def run(plan: Plan) -> Iterator[Figure]:
    """The p99 of links without outside effects, and how long who clicks a link with one waits for a CRM that hangs."""
    if plan.wants("hanging_receiver_p99"):
        pairs = [asyncio.run(bad_receiver_and_good_one()) for _ in range(min(3, plan.rounds))]
        what = f"the same while the receiver answers; links without outside effects at {PER_SECOND} clicks/s"
        values = [one for one, _ in pairs], [one for _, one in pairs]
        yield ratio("hanging_receiver_p99", *values, what, "p99_ms", floor=1.2, less_is_better=True)
    if plan.wants("hanging_crm_ms"):
        waits = asyncio.run(hanging_crm())
        what = f"none; outside_wait is 150 ms; first {waits[0]:.0f} ms, longest {max(waits):.0f} ms; the runs are the last 30 of 60 clicks"
        yield Figure("hanging_crm_ms", waits[30:], {"what": what}, unit=" ms", less_is_better=True)


async def bad_receiver_and_good_one() -> tuple[float, float]:
    """The p99 in ms of links without outside effects, while every tenth click sends an event to a receiver that hangs; and that answers."""
    return await _p99_of_plain_links(hangs), await _p99_of_plain_links(ok)


async def hanging_crm() -> list[float]:
    """Latencies in ms of 60 clicks, one after the other, on a link with an effect in a CRM that never answers."""
    async with _hanging_crm() as address, _house(crm=f"grpc://{address}") as house:
        stubs = Stubs(house.address)
        action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="yes"))
        campaign = Campaign(stubs)
        link = await campaign.link(actions=[action])
        url = await campaign.url(link.id, person(1))
        await stubs.channel.close()
        return [await _latency(house.front_port, "/" + url.rpartition("/")[2]) for _ in range(60)]


async def _p99_of_plain_links(behaviour: Behaviour) -> float:
    async with Receiver(behaviour) as receiver, _house(webhook_allow=receiver.pair) as house:
        plain, sending = await _paths(house, receiver)
        latencies = await _at_fixed_rate(house.front_port, plain, sending)
    return sorted(latencies)[math.ceil(len(latencies) * 0.99) - 1]


async def _paths(house: House, receiver: Receiver) -> tuple[list[str], list[str]]:
    """Paths of a plain link and of one that sends an event at every click, of a thousand recipients each."""
    stubs = Stubs(house.address)
    campaign = Campaign(stubs)
    hook = link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=receiver.url("/"), secret=SECRET))
    plain, sending = await campaign.link(), await campaign.link(actions=[hook])
    html = f'<a href="trackedlink:{plain.id}">x</a><a href="trackedlink:{sending.id}">y</a>'.encode()
    _, minted = await campaign.mail(html, [person(number) for number in range(1, 2001)])
    await stubs.channel.close()
    return ["/" + urls[0].rpartition("/")[2] for urls in minted], ["/" + urls[1].rpartition("/")[2] for urls in minted]


async def _at_fixed_rate(port: int, plain: Sequence[str], sending: Sequence[str]) -> list[float]:
    """Latencies in ms of the plain clicks. A click that is due does not wait for those before it."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    latencies: list[float] = []

    async def click(path: str, due: float, counts: bool) -> None:
        reader, writer = await free.get()
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nuser-agent: bench\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 302"), head
        if counts:
            latencies.append((time.perf_counter() - due) * 1000)
        free.put_nowait((reader, writer))

    start = time.perf_counter()
    async with asyncio.TaskGroup() as clicks:
        for number in range(int(PER_SECOND * SECONDS)):
            due = start + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sends = number % 10 == 0
            paths = sending if sends else plain
            clicks.create_task(click(paths[number % len(paths)], due, not sends))
    while not free.empty():
        free.get_nowait()[1].close()
    return latencies


async def _latency(port: int, path: str) -> float:
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nuser-agent: bench\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 302"), head
    writer.close()
    return (time.perf_counter() - started) * 1000


@contextlib.asynccontextmanager
async def _house(**settings: str) -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory() as directory:
        house = House(Path(directory) / "var", f"sqlite:///{directory}/bench.db", **settings)
        try:
            await asyncio.to_thread(house.start)
            yield house
        finally:
            await asyncio.to_thread(house.stop)


class _Hangs(grpc.GenericRpcHandler):
    """Takes every call and never answers."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def never(request: bytes, context: object) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        return grpc.unary_unary_rpc_method_handler(never)


@contextlib.asynccontextmanager
async def _hanging_crm() -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Hangs(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
