"""Recipients of the mixed load: they click at a steady rate whatever the answers take, and each answer is compared."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from tests.soak.subjects import Ticket
from tests.soak.world import World
from tests.support.visits import Visited, visit

PATIENCE = 30.0
"""Seconds after which a recipient closes the window."""
MOST_UNDER_WAY = 1000


@dataclass(slots=True)
class Told:
    """What recipients got: how long answers took, in ms, since the last time they were told of; who got the wrong thing."""

    milliseconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    away: int = 0
    """Answers while the server could not be asked."""

    def percentiles(self) -> tuple[float, float]:
        """p50 and p99 of what was answered since the last call, in ms."""
        ordered, self.milliseconds = sorted(self.milliseconds) or [0.0], []
        return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]


class Recipients:
    """All of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told = Told()
        self._under_way = 0
        self._began = 0.0

    async def click(self, per_second: float, until: float) -> None:
        """Clicks until that time, and returns when the last one is answered."""
        began = self._began = time.time()
        async with asyncio.TaskGroup() as clicks:
            for number in count():
                due = began + number / per_second
                if due > until:
                    return
                await asyncio.sleep(max(0.0, due - time.time()))
                if self._under_way < MOST_UNDER_WAY:
                    clicks.create_task(self._click(*self._chosen()))

    def _chosen(self) -> tuple[Ticket, str, bool]:
        """A URL, and what opens it: of twenty, eighteen people, a program that looks with HEAD, and a mail program that fetches ahead."""
        chance, tickets = self._world.chance, self._world.tickets
        kind = chance.randrange(20)
        return tickets[chance.randrange(len(tickets))], "HEAD" if kind == 18 else "GET", kind == 19

    async def _click(self, ticket: Ticket, method: str, prefetch: bool) -> None:
        world, told, asked = self._world, self.told, time.time()
        verdict = "HEAD" if method == "HEAD" else "PREFETCH" if prefetch else "HUMAN"
        self._under_way += 1
        try:
            async with asyncio.timeout(PATIENCE):
                got = await visit(world.house.front_port, ticket.token, method, prefetch)
        except (OSError, EOFError, TimeoutError) as error:
            told.refused[type(error).__name__] += 1
            world.ledger.told_nothing(ticket, verdict)
            return
        finally:
            self._under_way -= 1
        answered = time.time()
        told.milliseconds.append((answered - asked) * 1000)
        if got.status not in (200, 302):
            told.refused[f"status {got.status}"] += 1
            world.ledger.told_nothing(ticket, verdict)
            return
        told.answered += 1
        away = world.was_away(asked, answered)
        told.away += away
        runs = verdict == "HUMAN" and not ticket.person.test and not ticket.person.do_not_track
        subject = ticket.subject
        if not subject.is_right(got, ticket, runs, asked, answered, away):
            if subject.kind == "script" and subject.is_right(got, ticket, False, asked, answered, away):
                world.ledger.unscripted.append(self._wrong(ticket, verdict, got, asked, answered))
            else:
                told.wrong.append(self._wrong(ticket, verdict, got, asked, answered))
        world.ledger.told(ticket, verdict, asked, answered)
        if ticket.subject.kind == "acting" and verdict == "HUMAN" and not ticket.person.test:
            world.ledger.acts(ticket)

    def _wrong(self, ticket: Ticket, verdict: str, got: Visited, asked: float, answered: float) -> str:
        shown = got.location or got.page[got.page.find("Version") :].partition("<")[0]
        when = f"{asked - ticket.subject.versions[-1].acknowledged:.1f} s after its last edit, {asked - self._began:.1f} s after the start"
        return f"{ticket.subject.name}, {verdict}, {ticket.person}, {when}, answered in {answered - asked:.3f} s: {got.status} {shown}"
