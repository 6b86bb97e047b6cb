"""Who may come in: a share of each kind of call for each peer, and room for what is under way. Source of the numbers: bounds.py."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from server.model.errors import DomainError, Reason
from server.rpc.bounds import MEBIBYTE, Bound, Room
from server.rpc.memory import give_back
from server.rpc.peers import cut, peer_of
from server.rpc.refusals import Refusals
from server.rpc.room import Taken

PATIENCE = 3.0
"""Seconds that are waited for room; then whoever has not taken an answer for as long loses the connection."""

UNREAD = 120.0
"""Seconds after which a stream ends whose answer is not taken; after as many again, and a call at once, its connection is ended."""

LOOK = 5.0
"""Seconds between two looks for what is idle."""

MUCH = 16 * MEBIBYTE
"""After answers have taken so much, the memory is given back once they do not any more."""


@dataclass(eq=False, slots=True)
class Call:
    """A call under way, from when it comes in until its answer is taken or it has ended."""

    bound: Bound
    connection: str
    peer: str
    task: "asyncio.Task[object]"
    since: float
    """When a message last went in or out, in the time of the event loop."""
    reading: bool = False
    writing: bool = False
    proved: bool = True
    held: int = 0
    error: DomainError | None = field(default=None)
    """Why it was ended from here."""

    def moved(self) -> None:
        """Notes that a message begins to go in or out, or has."""
        self.since = asyncio.get_running_loop().time()

    def end(self, error: DomainError) -> None:
        """Has it end with this error."""
        self.error = error
        self.since = asyncio.get_running_loop().time()
        self.task.cancel()


_under_way: ContextVar[tuple["Admission", Call]] = ContextVar("_under_way")


class Admission:
    """Counts what is under way. One for a server."""

    def __init__(self) -> None:
        self._calls: dict[Bound, dict[str, list[Call]]] = defaultdict(dict)
        self._totals: Counter[Bound] = Counter()
        self._rooms: dict[Room, Taken] = {}
        self._refusals = Refusals()
        self._cutting: dict[str, asyncio.Future[bool]] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look for what is idle. Needs a running event loop."""
        self._looking = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Ends that."""
        if self._looking is not None:
            self._looking.cancel()
        self._refusals.end()

    def call(self, bound: Bound, connection: str) -> Call:
        """The call of the running task, which is not admitted yet."""
        task = asyncio.current_task()
        assert task is not None
        now = asyncio.get_running_loop().time()
        return Call(bound, connection, peer_of(connection), task, now, proved=not bound.proves)

    def enter(self, call: Call, size: int = 0) -> None:
        """Admits it, with a request of so many bytes, until its task is done. Raises SERVER_BUSY or what its bound says.

        Before that an idle stream gives way.
        """
        bound = call.bound
        peers = self._calls[bound]
        mine = len(peers.get(call.peer, ()))
        if (mine >= bound.share or self._totals[bound] >= bound.most) and not self._gives_way(call, mine):
            raise self._refused(call)
        if not bound.waits:
            size += bound.size
            if size and not self._room(bound).fits(call.peer, size):
                self._cut_stuck(bound)
                raise self._refused(call)
            self._hold(call, size)
        peers.setdefault(call.peer, []).append(call)
        self._totals[bound] += 1
        call.task.add_done_callback(lambda _: self._leave(call))
        _under_way.set((self, call))

    async def make_room(self, call: Call) -> None:
        """Waits until there is room for the call's answer. Raises SERVER_BUSY."""
        bound = call.bound
        for _ in range(bound.rounds):
            if await self._room(bound).wait(call.peer, bound.size, PATIENCE):
                call.held += bound.size
                return
            self._cut_stuck(bound)
        raise self._refused(call)

    def give_back(self, call: Call) -> None:
        """The call has nothing in hand."""
        self._hold(call, 0)

    def answers(self, call: Call, size: int) -> None:
        """The answer is made and has so many bytes; it is now for the caller to take it."""
        self._hold(call, size)
        call.writing = True
        call.moved()

    def _hold(self, call: Call, size: int) -> None:
        if size != call.held:
            self._room(call.bound).take(call.peer, size - call.held)
            call.held = size

    def _leave(self, call: Call) -> None:
        peers = self._calls[call.bound]
        calls = peers[call.peer]
        calls.remove(call)
        if not calls:
            del peers[call.peer]
        self._totals[call.bound] -= 1
        self._hold(call, 0)

    def _gives_way(self, newcomer: Call, mine: int) -> bool:
        """Ends the stream that matters least: of who has sent no clicks, of the fullest peer, the longest without a message."""
        bound = newcomer.bound
        if bound.gives_way is None or self._totals[bound] >= 2 * bound.most:  # those that do not end are many
            self._cut_stuck(bound)
            return False
        peers = self._calls[bound]
        own = [newcomer.peer] if mine >= bound.share else list(peers)
        may = [
            (call.proved, -len(peers[peer]), call.since, call)
            for peer in own
            for call in peers[peer]
            if call.error is None and (not call.proved or newcomer.since - call.since >= bound.gives_way)
        ]
        if not may:
            return False
        least = min(may, key=lambda each: each[:3])[3]
        least.end(DomainError(bound.reason, "the stream was idle and gave way to another one", kind=bound.kind))
        self._refusals.note("gave_way", bound.kind)
        return True

    def _refused(self, call: Call) -> DomainError:
        self._refusals.note("refused", call.bound.kind)
        text = f"too much of this kind ({call.bound.kind}) is under way, of this caller or in all; try again shortly"
        return DomainError(call.bound.reason, text, kind=call.bound.kind)

    def _cut_stuck(self, bound: Bound) -> None:
        """Ends what has most of a room without taking it, so that those who wait get some: a stream, or else the connection."""
        now = asyncio.get_running_loop().time()
        room = self._room(bound)
        stuck = [call for call in self._all() if call.bound.room is bound.room and _is_stuck(call) and now - call.since >= PATIENCE]
        if stuck:
            worst = max(stuck, key=lambda call: (room.by(call.peer), -call.since))
            if worst.bound.gives_way is None or worst.error is not None:
                self._cut(worst)
            else:  # not the connection, which may be that of a front door's clicks as well
                worst.end(DomainError(bound.reason, "no answer was read while others waited; open another stream", kind=worst.bound.kind))
                self._refusals.note("gave_way", worst.bound.kind)

    def _cut(self, call: Call) -> None:
        if call.connection not in self._cutting:
            self._refusals.note("connection_cut", call.bound.kind)
            cutting = self._cutting[call.connection] = asyncio.ensure_future(asyncio.to_thread(cut, call.connection))
            cutting.add_done_callback(lambda _: self._cutting.pop(call.connection))

    async def _look(self) -> None:
        much = False
        while True:
            await asyncio.sleep(LOOK)
            much = much or sum(room.peak for room in self._rooms.values()) >= MUCH
            if much and sum(room.taken for room in self._rooms.values()) < MUCH:
                await asyncio.to_thread(give_back)
                much = False
            for room in self._rooms.values():
                room.peak = room.taken
            now = asyncio.get_running_loop().time()
            for call in self._all():
                quiet = now - call.since
                if _is_stuck(call) and quiet >= UNREAD:
                    if call.error is None and call.bound.idle:
                        call.end(DomainError(Reason.stream_idle, f"no answer was read for {UNREAD:g} s; open another stream"))
                    else:
                        self._cut(call)
                elif call.reading and call.bound.idle and call.error is None and quiet >= call.bound.idle:
                    call.end(DomainError(Reason.stream_idle, f"no request came for {call.bound.idle:g} s; open another stream"))
                    self._refusals.note("idle_ended", call.bound.kind)

    def _all(self) -> list[Call]:
        return [call for peers in self._calls.values() for calls in peers.values() for call in calls]

    def _room(self, bound: Bound) -> Taken:
        if (taken := self._rooms.get(bound.room)) is None:
            taken = self._rooms[bound.room] = Taken(bound.room)
        return taken


@contextlib.asynccontextmanager
async def in_turn() -> AsyncIterator[None]:
    """Waits for room for something large that the call under way tells, and keeps it in the block. Raises SERVER_BUSY."""
    admission, call = _under_way.get()
    await admission.make_room(call)
    try:
        yield
    finally:
        admission.give_back(call)


def _is_stuck(call: Call) -> bool:
    """It waits for its caller: to take an answer, or to send the request that room is kept for."""
    return call.writing or call.error is not None or (call.reading and call.held > 0)
