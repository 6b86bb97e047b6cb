"""The way of a click through the server, top to bottom: verify the token, commit, answer."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redirect.token import Verifier
from server.clicks.answer import Answered, answered
from server.clicks.group_commit import GroupCommit
from server.model.click import Evidence, SeenClick, click_seconds
from server.model.errors import DomainError, Reason, Violation, invalid
from server.store.recording import Result

REPLAY_WINDOW = timedelta(days=30)
"""How old a click may be: within it the same click id is the same click. Never longer than click rows are kept."""

METHODS = ("GET", "HEAD")
"""What a recipient's program asks with; anything else is no click."""

FUTURE = timedelta(minutes=5)
"""How far the clock of whoever saw the click may be ahead."""


@dataclass(frozen=True, slots=True)
class ClickDraft:
    """A click as a caller sends it."""

    click_id: str
    token: str
    evidence: Evidence
    replayed: bool


class ClickWay:
    """Records clicks and says what their recipients get."""

    def __init__(self, verifier: Verifier, commit: GroupCommit, clock: Callable[[], datetime]) -> None:
        self._verifier = verifier
        self._commit = commit
        self._clock = clock

    async def record(self, drafts: Sequence[ClickDraft]) -> list[Answered | DomainError]:
        """What each click is answered by, or why it is refused, in order; those answered are durable."""
        now = self._clock()
        checked = [self._seen(draft, now) for draft in drafts]
        batch = [seen for seen in checked if isinstance(seen, SeenClick)]
        try:
            results = iter(await self._committed(batch) if batch else [])
        except DomainError as error:
            results = iter([error] * len(batch))
        return [answered(next(results)) if isinstance(seen, SeenClick) else seen for seen in checked]

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
        return await future

    def _seen(self, draft: ClickDraft, now: datetime) -> SeenClick | DomainError:
        click_id = uuid7_of(draft.click_id)
        problems = [] if click_id else [Violation("click_id", f"must be a UUIDv7 in its usual spelling, not {draft.click_id[:60]!r}")]
        if draft.evidence.method.upper() not in METHODS:
            problems.append(Violation("evidence.method", f"must be GET or HEAD, not {draft.evidence.method[:60]!r}"))
        if click_id is None or problems:
            return invalid(*problems)
        age = now.timestamp() - click_seconds(click_id)
        if not -FUTURE.total_seconds() <= age <= REPLAY_WINDOW.total_seconds():
            return DomainError(Reason.click_time_refused, f"the click's time is {abs(age):,.0f} seconds {'ago' if age > 0 else 'ahead'}")
        claims = self._verifier.verify(draft.token.encode("utf-8", "replace"))
        if claims is None:
            return DomainError(Reason.token_invalid, "the token was not minted here, or not in this spelling")
        evidence = draft.evidence.cleaned()
        return SeenClick(click_id, claims.placement_id, claims.recipient, claims.test, claims.do_not_track, evidence, draft.replayed)


def uuid7_of(text: str) -> bytes | None:
    """The bytes of a UUIDv7 in its usual spelling; None for anything else."""
    if len(text) != 36:
        return None
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed.bytes if parsed.version == 7 and str(parsed) == text.lower() else None
