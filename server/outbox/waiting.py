"""What a recipient waits for at most: a remote CRM, for a moment, and not at all once it has kept several waiting in vain."""

import asyncio
import contextlib
from collections.abc import Iterator
from uuid import UUID

from server.crm.remote import RemoteCrm
from server.model.crm import Person
from server.model.errors import DomainError
from server.outbox.breaker import Breaker
from server.outbox.dispatcher import Dispatcher


class Waiting:
    """Waits for a remote CRM, `seconds` at most; None for both where the CRM is the embedded one."""

    def __init__(self, dispatcher: Dispatcher, crm: RemoteCrm | None, seconds: float) -> None:
        self._dispatcher = dispatcher
        self._crm = crm
        self._seconds = seconds
        self._breaker = Breaker()

    @property
    def patient(self) -> bool:
        """Whether it makes sense to wait now."""
        return self._crm is not None and not self._dispatcher.crm_is_away and self._may_try()

    def left_something(self) -> None:
        """Has what clicks have left for other systems delivered at once."""
        self._dispatcher.wake()

    async def settled(self, click_id: str, actions: int) -> None:
        """Returns once the remote CRM has so many actions of this click, or after the time that a recipient waits at most."""
        with contextlib.suppress(TimeoutError), self._one_wait():
            async with asyncio.timeout(self._seconds):
                if not await self._dispatcher.settled(UUID(click_id).bytes, actions):
                    raise TimeoutError  # it was tried in vain: for the recipient the same as no answer

    async def card(self, person_id: int) -> Person | None:
        """The person's card, or None when it is not to be had in that time, or there is none."""
        if self._crm is None or not self.patient:
            return None
        with contextlib.suppress(DomainError), self._one_wait():
            cards, _ = await self._crm.persons([person_id], self._seconds)
            return cards.get(person_id)
        return None

    def _may_try(self) -> bool:
        return self._breaker.is_closed or self._breaker.may_probe(asyncio.get_running_loop().time())

    @contextlib.contextmanager
    def _one_wait(self) -> Iterator[None]:
        """Tells the breaker how a wait has ended; one that was given up, because the recipient has gone, tells nothing."""
        if not self._breaker.is_closed:
            self._breaker.probe()
        try:
            yield
        except (TimeoutError, DomainError):
            self._breaker.failed(asyncio.get_running_loop().time())
            raise
        except BaseException:
            self._breaker.unknown()
            raise
        self._breaker.succeeded()
