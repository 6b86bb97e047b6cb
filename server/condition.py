"""Whether the database does what it is asked: looked at every second, and told to the log and to health when it changes."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from server.model.errors import DomainError
from server.repeating import Repeating
from server.store.database import Database
from server.store.faults import Fault
from server.store.given_ids import REMEDY, GivenIds

log = structlog.get_logger()

LOOK_SECONDS = 1.0

WELL_SECONDS = 2.5
"""For so long nothing may have failed before the database is well again: of a full disk small writes still find room."""

PUT_BACK = Fault("PUT_BACK", f"the database was put back from a copy behind ids that it has given: {REMEDY}")

Tell = Callable[[Fault | None], Awaitable[None]]


class Condition:
    """Looks while the server runs."""

    def __init__(self, database: Database, given_ids: GivenIds, tell: Tell) -> None:
        self._database = database
        self._given_ids = given_ids
        self._tell = tell
        self._fault: Fault | None = None
        self._repeating = Repeating(self._look_and_tell, LOOK_SECONDS)

    def start(self) -> None:
        """Begins to look. Needs a running event loop."""
        self._repeating.start()

    async def stop(self) -> None:
        """Ends after the look under way."""
        await self._repeating.stop()

    async def _look_and_tell(self) -> None:
        try:
            await self._change(await asyncio.to_thread(self._look))
        except Exception as error:  # a defect here must not end it: nobody would be told of what comes
            log.error("database_not_looked_at", exc_info=error)

    def _look(self) -> Fault | None:
        if fault := self._database.failed(WELL_SECONDS):
            return fault
        try:
            if self._fault not in (None, PUT_BACK):
                self._given_ids.write_nothing_new()
            if self._given_ids.is_put_back():
                if self._fault != PUT_BACK:
                    self._given_ids.say_put_back()
                return PUT_BACK
        except DomainError as error:
            return Fault(error.metadata.get("cause", error.reason.value), error.message)
        return None

    async def _change(self, fault: Fault | None) -> None:
        before, self._fault = self._fault, fault
        if (fault and fault.cause) == (before and before.cause):
            return
        if fault is not None:
            log.error("database_failed", cause=fault.cause, problem=fault.problem)
        elif before is not None:
            log.info("database_well", after=before.cause)
        await self._tell(fault)
