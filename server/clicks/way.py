"""The way of a click through the server, top to bottom: verify the token, commit, answer."""

import asyncio
import re
from asyncio import Task
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from redirect.token import Verifier
from server.clicks.answer import Answered
from server.clicks.clocks import Clocks
from server.clicks.group_commit import GroupCommit
from server.clicks.preparing import Preparing
from server.model.click import Evidence, SeenClick, SpecialLink, click_seconds, click_text
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.recorded_click import RecordedClick
from server.model.script import Unprepared
from server.store.recording import Result
from server.turns import clicks_are_through, clicks_come

REPLAY_WINDOW = timedelta(days=30)
"""How old a click may be: within it the same click id is the same click. Never longer than click rows are kept."""

METHODS = ("GET", "HEAD")
"""What a recipient's program asks with; anything else is no click."""

FUTURE = timedelta(minutes=5)
"""How far the clock of whoever saw the click may be ahead."""

MOST_KEPT = 1024
"""Characters of evidence whose cleaned form is remembered, so that what is remembered has a bound; nearly all is shorter."""

Settled = Answered | SpecialLink | DomainError
"""What a click is answered by: what its recipient gets, that it is none but opens a special link, or why it is refused."""


@dataclass(slots=True)
class ClickDraft:
    """A click as a caller sends it. An empty method is GET."""

    click_id: str
    token: str
    method: str
    prefetch: bool
    user_agent: str
    replayed: bool


class Outside(Protocol):
    """Takes what clicks leave for other systems to them, and knows when a remote CRM has it."""

    @property
    def patient(self) -> bool:
        """Whether it makes sense to wait: not while the remote CRM is away."""

    def left_something(self) -> None:
        """Has what clicks have left delivered at once."""

    async def settled(self, click_id: str, actions: int) -> None:
        """Returns once the remote CRM has so many actions of this click, or after the time that a recipient waits at most."""


class ClickWay:
    """Records clicks and says what their recipients get."""

    def __init__(
        self, verifier: Verifier, commit: GroupCommit, preparing: Preparing, outside: Outside, clock: Callable[[], datetime]
    ) -> None:
        self._verifier = verifier
        self._commit = commit
        self._preparing = preparing
        self._outside = outside
        self._clock = clock
        self._clocks = Clocks()

    async def record(self, drafts: Sequence[ClickDraft]) -> list[Settled | Task[Settled]]:
        """What each click is answered by, or why it is refused, in order; those answered are durable.

        A click that waits for something of its own, a script or a remote CRM, is a task: nobody else waits for it. It ends with the answer.
        """
        now = self._clock().timestamp()
        checked = [self._seen(draft, now) for draft in drafts]
        batch = [seen for seen in checked if isinstance(seen, SeenClick)]
        results = iter(await self._try_to_commit(batch) if batch else [])
        return [self._answered(seen, next(results)) if isinstance(seen, SeenClick) else seen for seen in checked]

    def _answered(self, seen: SeenClick, result: Result) -> Settled | Task[Settled]:
        match result:
            case RecordedClick():
                waits = result.in_remote_crm and self._outside.patient
                return asyncio.create_task(self._waited_for(result)) if waits else Answered(result)
            case Unprepared():
                return asyncio.create_task(self._prepared(seen, result))
            case SpecialLink() | DomainError():
                return result

    async def _prepared(self, seen: SeenClick, unprepared: Unprepared) -> Settled:
        """Does what the click waits for and records it; once more when its link was changed meanwhile, and then as it is."""
        result: Result = unprepared
        for final in (False, True):
            if isinstance(result, Unprepared):
                seen = replace(seen, prepared=await self._preparing.prepare(seen.prepared, result, final))
                (result,) = await self._try_to_commit([seen])
        assert not isinstance(result, Unprepared), "what is final is recorded"
        if isinstance(result, RecordedClick) and result.in_remote_crm and self._outside.patient:
            return await self._waited_for(result)
        return Answered(result) if isinstance(result, RecordedClick) else result

    async def _waited_for(self, recorded: RecordedClick) -> Settled:
        """The answer, once a remote CRM has what the click made happen, or after the time that a recipient waits for it at most."""
        await self._outside.settled(click_text(recorded.seen.id), recorded.in_remote_crm)
        return Answered(recorded)

    async def _try_to_commit(self, batch: Sequence[SeenClick]) -> list[Result]:
        try:
            results = await self._committed(batch)
        except DomainError as error:
            return [error] * len(batch)
        if any(isinstance(result, RecordedClick) and result.leaves_something for result in results):
            self._outside.left_something()
        return results

    async def _committed(self, batch: Sequence[SeenClick]) -> list[Result]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()

        def resolve(results: list[Result]) -> None:
            if not future.done():  # the caller may have gone; its clicks are counted all the same
                future.set_result(results)

        def done(results: list[Result]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(resolve, results)

        self._commit.submit(batch, done)
        clicks_come()
        try:
            return await future
        finally:
            clicks_are_through()

    def _seen(self, draft: ClickDraft, now: float) -> SeenClick | DomainError:
        click_id = uuid7_of(draft.click_id)
        evidence = evidence_of(draft)
        if click_id is None or evidence is None:
            return _malformed(draft)
        if not _SOONEST <= (age := now - click_seconds(click_id)) <= _LATEST:
            return self._clocks.refused(age)
        claims = self._verifier.verify(draft.token.encode("utf-8", "replace"))
        if claims is None:
            return DomainError(Reason.token_invalid, "the token was not minted here, or not in this spelling")
        if claims.do_not_track:
            evidence = evidence.without_user_agent()
        return SeenClick(click_id, claims.placement_id, claims.recipient, claims.test, claims.do_not_track, evidence, draft.replayed)


def uuid7_of(text: str) -> bytes | None:
    """The bytes of a UUIDv7 in its usual spelling; None for anything else. `uuid.UUID` would take four times as long (measured)."""
    return bytes.fromhex(text.replace("-", "")) if _UUID7.fullmatch(text) else None


def evidence_of(draft: ClickDraft) -> Evidence | None:
    """What was seen of the click as it is stored; None when its method is none of a click."""
    if len(draft.method) + len(draft.user_agent) > MOST_KEPT:
        return _evidence.__wrapped__(draft.method, draft.prefetch, draft.user_agent)
    return _evidence(draft.method, draft.prefetch, draft.user_agent)


@lru_cache(maxsize=4096)
def _evidence(method: str, prefetch: bool, user_agent: str) -> Evidence | None:
    method = method.upper() or "GET"
    return Evidence(method, prefetch, user_agent).cleaned() if method in METHODS else None


def _malformed(draft: ClickDraft) -> DomainError:
    problems: list[Violation] = []
    if uuid7_of(draft.click_id) is None:
        problems.append(Violation("click_id", f"must be a UUIDv7 in its usual spelling, not {draft.click_id[:60]!r}"))
    if evidence_of(draft) is None:
        problems.append(Violation("evidence.method", f"must be GET or HEAD, not {draft.method[:60]!r}"))
    return invalid(*problems)


_SOONEST, _LATEST = -FUTURE.total_seconds(), REPLAY_WINDOW.total_seconds()
_UUID7 = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
