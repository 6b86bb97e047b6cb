"""The dispatcher: takes what is due from the outbox to where it belongs. A receiver that is slow or away delays nobody else.

Each destination has a lane of its own, with a bound on what is under way and a circuit breaker. Results are written together: those that
come while a transaction is under way share the next one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import ParamSpec, Protocol, TypeVar

import structlog

from server.model.action import ActionState
from server.model.errors import DomainError
from server.outbox.breaker import Breaker
from server.store.outbox import Leased, OutboxStore, Settlement
from server.store.outgoing import REMOTE_CRM

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

LOOK_SECONDS = 1.0
"""How often it looks for what has become due; for what a click has just left it looks at once."""

LEASE = timedelta(seconds=30)
"""How long one attempt may take; after that, for each row of a click that goes on its own, another server may try."""

BURY_SECONDS = 60.0
"""How often it looks, for a receiver that is away, for what has waited too long."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a channel says of one row: what became of it, and whether that speaks for or against the receiver (None: neither)."""

    settlement: Settlement
    receiver_well: bool | None


def untried(row: Leased, next_time: datetime) -> Settlement:
    """What becomes of a row that was leased and could not be tried: its turn comes again, and it counts as no attempt."""
    state = ActionState.retrying if row.attempts else ActionState.waiting
    return Settlement(row, state, row.last_error, next_time, tried=False)


class Channel(Protocol):
    """A way out: how much of it may be under way at once, and how it is tried."""

    most_under_way: int
    """Rows of one destination that may be under way at once."""

    together: bool
    """Whether rows go together, in one attempt, or each click on its own."""

    async def deliver(self, rows: Sequence[Leased]) -> Sequence[Tried]:
        """Tries these rows, in order. Never raises, and ends well before their lease does."""


@dataclass(slots=True)
class _Lane:
    """What is under way for one destination."""

    channel: Channel
    breaker: Breaker
    under_way: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    buried: float = 0.0

    def room(self, now: float) -> int:
        """How many rows may be taken now."""
        if self.channel.together and self.under_way:
            return 0
        if self.breaker.is_closed:
            return self.channel.most_under_way - self.under_way
        return 1 if self.breaker.may_probe(now) and not self.under_way else 0


@dataclass(slots=True)
class _Awaited:
    """A click whose recipient waits for the remote CRM, and how many of its actions are left."""

    left: int
    ended: "asyncio.Future[bool]"

    def hear(self, settlement: Settlement) -> None:
        """Counts an action; one that is to be tried again ends the wait."""
        self.left -= 1
        again = settlement.state in (ActionState.waiting, ActionState.retrying, ActionState.dead)
        if not self.ended.done() and (again or self.left <= 0):
            self.ended.set_result(not again)


class Dispatcher:
    """Delivers while the server runs."""

    def __init__(
        self,
        store: OutboxStore,
        webhooks: Channel,
        crm: Channel | None,
        clock: Callable[[], datetime],
        patience: timedelta,
        breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        """`crm` = None: the CRM is the embedded one. `patience` is how long what waits for a receiver that is away is kept."""
        self._store = store
        self._channels: Mapping[bool, Channel | None] = {True: crm, False: webhooks}
        self._clock = clock
        self._patience = patience
        self._breaker = breaker
        self._lanes: dict[str, _Lane] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._settled: asyncio.Queue[Settlement | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(2, "outbox")
        self._awaited: dict[bytes, _Awaited] = {}

    @property
    def crm_is_away(self) -> bool:
        """Whether nobody tries the remote CRM at the moment."""
        lane = self._lanes.get(REMOTE_CRM)
        return lane is not None and not lane.breaker.is_closed

    def start(self) -> None:
        """Begins to deliver. Needs a running event loop."""
        self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._settle())]

    async def stop(self, drain_seconds: float) -> None:
        """Takes nothing new, and gives what is under way so long to end; the rest is tried again after the next start."""
        self._stopping.set()
        self._wake.set()
        if not self._tasks:
            return
        look, settle = self._tasks
        await look
        if under_way := [task for lane in self._lanes.values() for task in lane.tasks]:
            _, late = await asyncio.wait(under_way, timeout=drain_seconds)
            for task in late:
                task.cancel()
        await self._settled.put(None)
        await settle
        self._threads.shutdown(wait=False)

    def wake(self) -> None:
        """Has it look at once."""
        self._wake.set()

    async def settled(self, click_id: bytes, actions: int) -> bool:
        """Returns once the remote CRM has taken or refused so many actions of this click: whether it has. Looks at once."""
        awaited = self._awaited.setdefault(click_id, _Awaited(actions, asyncio.get_running_loop().create_future()))
        self._wake.set()
        try:
            return await asyncio.shield(awaited.ended)
        finally:
            self._awaited.pop(click_id, None)

    async def _look(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                for destination in await self._in_thread(self._store.destinations):
                    await self._try_to_fill(destination)
            except DomainError as error:
                log.warning("dispatch_postponed", reason=error.reason.value)
            except Exception as error:  # a defect must not end deliveries for good
                log.error("dispatch_failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()

    async def _try_to_fill(self, destination: str) -> None:
        """What `_fill` does; somebody who holds a lock on rows of this destination holds up no other."""
        try:
            await self._fill(destination)
        except DomainError as error:
            log.warning("dispatch_postponed", destination=destination, reason=error.reason.value)

    async def _fill(self, destination: str) -> None:
        """Takes as much for this destination as its lane has room for."""
        lane = self._lane(destination)
        if lane is None:
            return
        now, loop = self._clock(), asyncio.get_running_loop()
        if not lane.breaker.is_closed and loop.time() - lane.buried > BURY_SECONDS:
            lane.buried = loop.time()
            await self._in_thread(self._store.bury, destination, now - self._patience, now)
        room = lane.room(loop.time())
        if room <= 0 or self._stopping.is_set() or not await self._in_thread(self._store.due, destination, now):
            return
        rows = await self._in_thread(self._store.lease, destination, room, now, LEASE)
        if rows and not lane.breaker.is_closed:
            lane.breaker.probe()
        lane.under_way += len(rows)
        groups = [rows] if lane.channel.together else [list(some) for _, some in groupby(rows, lambda row: row.click_id)]
        for group in groups:
            if group:
                task = asyncio.create_task(self._deliver(lane, group))
                lane.tasks.add(task)
                task.add_done_callback(lane.tasks.discard)

    async def _deliver(self, lane: _Lane, rows: Sequence[Leased]) -> None:
        try:
            tried = await lane.channel.deliver(rows)
        except Exception as error:  # a defect must not keep the lane full: the rows come back when their lease ends
            log.error("delivery_failed", destination=rows[0].destination, exc_info=error)
            tried = []
        lane.under_way -= len(rows)
        self._hear(lane, [each.receiver_well for each in tried])
        for each in tried:
            self._settled.put_nowait(each.settlement)
        self._wake.set()

    def _hear(self, lane: _Lane, verdicts: Sequence[bool | None]) -> None:
        if True in verdicts:
            lane.breaker.succeeded()
        elif False in verdicts:
            lane.breaker.failed(asyncio.get_running_loop().time())
        else:
            lane.breaker.unknown()

    async def _settle(self) -> None:
        """Writes results, all that wait in one transaction. While the database is away they wait; what gets lost is tried again."""
        while (first := await self._settled.get()) is not None:
            some, more = [first], True
            while more and not self._settled.empty():
                following = self._settled.get_nowait()
                if following is None:
                    self._settled.put_nowait(None)
                    more = False
                else:
                    some.append(following)
            await self._write(some)
            for settlement in some:
                if settlement.leased.destination == REMOTE_CRM and (awaited := self._awaited.get(settlement.leased.click_id)):
                    awaited.hear(settlement)
            self._wake_when_due(some)

    def _wake_when_due(self, settlements: Sequence[Settlement]) -> None:
        """Has it look at once, for there is room now, and again when the first of what is tried again is due."""
        self._wake.set()
        if due := min((each.next_time for each in settlements if each.next_time), default=None):
            wait = (due - self._clock()).total_seconds()
            if wait < LOOK_SECONDS:
                asyncio.get_running_loop().call_later(max(wait, 0.0) + 0.001, self._wake.set)

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        for pause in (0.1, 0.5, 1.0, 5.0):
            try:
                await self._in_thread(self._store.settle, settlements, self._clock())
                return
            except DomainError as error:
                log.warning("settlement_postponed", reason=error.reason.value, runs=len(settlements))
                await asyncio.sleep(pause)
            except Exception as error:
                log.error("settlement_failed", exc_info=error, runs=len(settlements))
                return

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs what blocks in threads of its own: those of use cases may all wait for the very CRM that this is to reach."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def _lane(self, destination: str) -> _Lane | None:
        channel = self._channels[destination == REMOTE_CRM]
        if channel is None:  # a remote CRM was set before, and is not now: what is left waits for it
            return None
        if destination not in self._lanes:
            self._lanes[destination] = _Lane(channel, self._breaker())
        return self._lanes[destination]
