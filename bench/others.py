"""Eight clients that have nothing to do with clicks, in a process of their own: they list, mint, track and render without pause.

`python -m bench.others ADDRESS SUBJECTS` works until its standard input ends. What is refused for now (RESOURCE_EXHAUSTED, UNAVAILABLE) is
asked again after the pause that the server names, or a tenth of a second.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from tests.support.house import ROOT
from trackedlinks.v1 import (
    click_service_pb2,
    click_service_pb2_grpc,
    link_service_pb2,
    link_service_pb2_grpc,
    mailing_pb2,
    mailing_service_pb2,
    mailing_service_pb2_grpc,
)

RECIPIENTS, RENDERED = 1000, 200
"""Of one request to mint, and to render."""
ADDRESSES = 1900
"""Of a message that is tracked: 2,000 are allowed."""
HEALTH_SECONDS = 0.1
PAUSE = 0.1
STRANGER = 10_000_000
"""From here on nobody has a card."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """What the clients ask about: a link with clicks by thousands of recipients, and a mailing whose message has merge fields."""

    link_id: int
    mailing_id: int


@dataclass(slots=True)
class Work:
    """What the clients did: requests answered by call, requests refused for now, and how long Health took, in ms."""

    answered: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    health_ms: list[float] = field(default_factory=list)


class Others:
    """The clients at work; what they did is there once they have ended."""

    def __init__(self) -> None:
        self.work = Work()


@contextlib.contextmanager
def at_work(address: str, subjects: Subjects) -> Iterator[Others]:
    """Eight clients at work for as long as the block takes."""
    command = [sys.executable, "-m", "bench.others", address, json.dumps(asdict(subjects))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "at work\n"
        others = Others()
        yield others
        process.stdin.close()
        others.work = Work(**json.loads(process.stdout.read()))


class _Clients:
    """The eight, each over a connection of its own."""

    def __init__(self, address: str, subjects: Subjects) -> None:
        self._address = address
        self._subjects = subjects
        self._numbers = count(STRANGER)
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.health_ms: list[float] = []

    def start(self) -> list["asyncio.Task[None]"]:
        kinds = [
            self._list_clicks,
            self._list_clicks,
            self._list_links,
            self._list_clickers,
            self._mint,
            self._mint,
            self._track,
            self._render,
        ]
        return [asyncio.create_task(self._again_and_again(kind)) for kind in [*kinds, self._ask_health]]

    async def _again_and_again(self, kind: Callable[[grpc.aio.Channel], Awaitable[None]]) -> None:
        async with grpc.aio.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            while True:
                try:
                    await kind(channel)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE):
                        raise
                    self.refused[f"{kind.__name__[1:]} {error.code().name}"] += 1
                    await asyncio.sleep(_pause(error))

    async def _list_clicks(self, channel: grpc.aio.Channel) -> None:
        stub: click_service_pb2_grpc.ClickServiceAsyncStub = click_service_pb2_grpc.ClickServiceStub(channel)
        await stub.ListClicks(click_service_pb2.ListClicksRequest(link_id=self._subjects.link_id, page_size=1000))
        self.answered["ListClicks"] += 1

    async def _list_links(self, channel: grpc.aio.Channel) -> None:
        stub: link_service_pb2_grpc.LinkServiceAsyncStub = link_service_pb2_grpc.LinkServiceStub(channel)
        await stub.ListLinks(link_service_pb2.ListLinksRequest(page_size=1000))
        self.answered["ListLinks"] += 1

    async def _list_clickers(self, channel: grpc.aio.Channel) -> None:
        stub: click_service_pb2_grpc.ClickServiceAsyncStub = click_service_pb2_grpc.ClickServiceStub(channel)
        await stub.ListClickers(click_service_pb2.ListClickersRequest(link_id=self._subjects.link_id, page_size=1000))
        self.answered["ListClickers"] += 1

    async def _mint(self, channel: grpc.aio.Channel) -> None:
        stub: mailing_service_pb2_grpc.MailingServiceAsyncStub = mailing_service_pb2_grpc.MailingServiceStub(channel)

        async def requests() -> AsyncIterator[mailing_service_pb2.MintUrlsRequest]:
            for _ in range(10):
                some = [self._recipient() for _ in range(RECIPIENTS)]
                yield mailing_service_pb2.MintUrlsRequest(mailing_id=self._subjects.mailing_id, recipients=some)

        async for answer in stub.MintUrls(requests()):
            self.answered["MintUrls, recipients"] += len(answer.results)

    async def _track(self, channel: grpc.aio.Channel) -> None:
        stub: mailing_service_pb2_grpc.MailingServiceAsyncStub = mailing_service_pb2_grpc.MailingServiceStub(channel)
        number = next(self._numbers)
        draft = mailing_pb2.Mailing(name=f"Catalogue {number}", track_all_links=True)
        mailing = await stub.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft))
        html = "".join(f'<a href="https://example.com/{number}/{place}">x</a>' for place in range(ADDRESSES))
        await stub.TrackMessage(mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html.encode()))
        self.answered["TrackMessage"] += 1

    async def _render(self, channel: grpc.aio.Channel) -> None:
        stub: mailing_service_pb2_grpc.MailingServiceAsyncStub = mailing_service_pb2_grpc.MailingServiceStub(channel)

        async def requests() -> AsyncIterator[mailing_service_pb2.RenderMessagesRequest]:
            for _ in range(10):
                some = [self._recipient() for _ in range(RENDERED)]
                yield mailing_service_pb2.RenderMessagesRequest(mailing_id=self._subjects.mailing_id, recipients=some)

        async for answer in stub.RenderMessages(requests()):
            self.answered["RenderMessages, messages"] += len(answer.messages)

    async def _ask_health(self, channel: grpc.aio.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        started = time.perf_counter()
        await stub.Check(health_pb2.HealthCheckRequest())
        self.health_ms.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(HEALTH_SECONDS)

    def _recipient(self) -> mailing_pb2.Recipient:
        """Somebody new: a person without a card, or an address."""
        number = next(self._numbers)
        fields = {"code": f"c{number}", "name": f"Name {number}"}
        if number % 2:
            return mailing_pb2.Recipient(person_id=number, merge_fields=fields)
        return mailing_pb2.Recipient(email=f"stranger{number}@example.com", merge_fields=fields)


def _pause(error: grpc.aio.AioRpcError) -> float:
    """How long the server asks to wait; PAUSE where it does not say."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        told = error_details_pb2.RetryInfo()
        if detail.Unpack(told):
            delay: duration_pb2.Duration = told.retry_delay
            return delay.ToTimedelta().total_seconds()
    return PAUSE


async def _main(address: str, subjects: Subjects) -> None:
    clients = _Clients(address, subjects)
    tasks = clients.start()
    print("at work", flush=True)
    until = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([until, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if until not in done:
        print(f"a client failed: {[task.exception() for task in done]}", file=sys.stderr)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(asdict(Work(dict(clients.answered), dict(clients.refused), clients.health_ms))), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Subjects(**json.loads(sys.argv[2]))))
