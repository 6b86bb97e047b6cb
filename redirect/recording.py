"""A click on its way out of the front door: to the server; and when that does not store it in time, to the journal."""

from redirect.clicks import ClickStream
from redirect.complaint import Complaint
from redirect.journal import Journal, JournalFailed
from redirect.keeping import Keeping
from redirect.snapshot import Known, Snapshot
from redirect.waiting import Answer, Request


class Recording:
    """Makes clicks durable, one way or the other."""

    def __init__(self, stream: ClickStream, journal: Journal, snapshot: Snapshot, keeping: Keeping) -> None:
        self._stream = stream
        self._journal = journal
        self._snapshot = snapshot
        self._keeping = keeping
        self._unknown = Complaint("placement_unknown_to_server", "has it another database, or one that is empty or was put back?")

    async def record(self, click: Request, placement_id: int) -> Answer | None:
        """What the recipient of a click on this placement gets, once the click is durable. None: the recipient is to try again.

        That is so where the server does not answer even late: for a placement that the snapshot does not know, whose click is kept all the
        same; for a special link, whose pages need the server and which is no click; and where the journal fails, so that it is not kept.
        Where the snapshot knows only part of what the recipient is to get, the server is waited for, too; the snapshot answers when that
        does not.

        A token that was minted with our keys, for a placement that was there before, is valid whatever the server says of it.
        """
        answer = await self._stream.record(click)
        if answer is not None and not _is_refusal(answer):
            return answer
        known = await self._snapshot.answer(placement_id)
        if known is None:
            if answer is None:
                await self._kept(click, known)
                answer = await self._stream.record_late(click)
            return answer
        special = known.answer.WhichOneof("result") == "special_link"
        kept = not special and await self._kept(click, known)
        if answer is None and (known.depends_on_click or not kept):
            answer = await self._stream.record_late(click)
            if answer is not None and not _is_refusal(answer):
                return answer
        if answer is not None:
            self._unknown.tell(placement=placement_id)
        return known.answer if kept else None

    async def _kept(self, click: Request, known: Known | None) -> bool:
        """Whether the click is in the journal now."""
        try:
            await self._journal.append(self._keeping.content(click, known))
        except JournalFailed:
            return False
        return True


def _is_refusal(answer: Answer) -> bool:
    """Whether the server knows no such placement: TOKEN_INVALID, the one error that is an answer."""
    return answer.WhichOneof("result") == "error"
