"""Kills the server (-9) again and again under load, with every kind of action, and compares what is there with what was answered."""

import asyncio
import random
from dataclasses import dataclass

import grpc
from uuid_utils import uuid7

from tests.soak.oracle import Answered, Oracle
from tests.support.campaign import Campaign, person
from tests.support.house import Process
from tests.support.receivers import Receiver
from trackedlinks.v1 import click_service_pb2

PERSONS, MAILINGS, CALLERS = 60, 3, 48
BETWEEN = (20, 400)
"""Clicks that are answered between two kills, at least and at most."""

EVENT_SECONDS = 120
"""How long events may take after the last kill: their leases have to end first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed."""

    kills: int
    clicks: int
    tries: int
    problems: list[str]

    def __str__(self) -> str:
        told = f"{self.kills} kills, {self.clicks:,} clicks answered in {self.tries:,} tries"
        return f"{told}: {len(self.problems)} problems" + "".join(f"\n  {problem}" for problem in self.problems[:20])


async def kill_again_and_again(campaign: Campaign, receiver: Receiver, server: Process, kills: int, seed: int) -> tuple[Outcome, Oracle]:
    """Runs until the server was killed so often and every click is answered; a click that is not is sent again under its id."""
    chance = random.Random(seed)
    oracle = await Oracle.of(campaign, receiver, PERSONS)
    targets = await _targets(campaign, oracle)
    tries = 0
    killed = asyncio.Event()

    async def call() -> None:
        nonlocal tries
        while not killed.is_set():
            token, person_id, mailing_id = chance.choice(targets)
            request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
            while True:
                tries += 1
                try:
                    await campaign.stubs.clicks.RecordClick(request, timeout=10)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        raise
                    await asyncio.sleep(0.05)
            oracle.answered.append(Answered(request.click_id, person_id, mailing_id))

    async def kill() -> None:
        for _ in range(kills):
            enough = len(oracle.answered) + chance.randint(*BETWEEN)
            while len(oracle.answered) < enough:
                await asyncio.sleep(0.001)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start, "event='serving'")
        killed.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill())
        for _ in range(CALLERS):
            tasks.create_task(call())
    problems = await oracle.problems()
    for _ in range(EVENT_SECONDS * 10):
        if not (missing := await oracle.events_missing()):
            break
        await asyncio.sleep(0.1)
    problems += [f"event of click {click_id}: missing" for click_id in missing]
    return Outcome(kills, len(oracle.answered), tries, problems), oracle


async def _targets(campaign: Campaign, oracle: Oracle) -> list[tuple[str, int, int]]:
    """A token of each person in each mailing."""
    html = f'<a href="trackedlink:{oracle.link.id}">x</a>'.encode()
    targets: list[tuple[str, int, int]] = []
    for number in range(MAILINGS):
        mailing_id, minted = await campaign.mail(html, [person(each) for each in oracle.persons], name=f"Mailing {number}")
        targets += [(urls[0].rpartition("/")[2], each, mailing_id) for urls, each in zip(minted, oracle.persons, strict=True)]
    return targets
