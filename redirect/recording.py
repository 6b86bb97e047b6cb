"""A click on its way out of the front door: to the server; and when that does not store it in time, to the journal."""

import structlog

from redirect.clicks import ClickStream
from redirect.journal import Journal, JournalFailed
from redirect.snapshot import Snapshot
from redirect.waiting import Answer, Request

log = structlog.get_logger()


class Recording:
    """Makes clicks durable, one way or the other."""

    def __init__(self, stream: ClickStream, journal: Journal, snapshot: Snapshot) -> None:
        self._stream = stream
        self._journal = journal
        self._snapshot = snapshot

    async def record(self, click: Request, placement_id: int) -> Answer | None:
        """What the recipient of a click on this placement gets, once the click is durable. None: the recipient is to try again.

        That is so where the server does not answer even late: for a placement that the snapshot does not know, whose click is kept all the
        same; for a special link, whose pages need the server and which is no click; and where the journal fails, so that it is not kept.
        """
        answer = await self._stream.record(click)
        if answer is not None:
            return answer
        known = await self._snapshot.answer(placement_id)
        if known is not None and known.answer.WhichOneof("result") == "special_link":
            return await self._stream.record_late(click)
        try:
            await self._journal.append(click.SerializeToString())
        except JournalFailed:
            return None
        return known.answer if known is not None else await self._stream.record_late(click)
