"""What clicks have made happen, and what one would: the questions that people ask of actions."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial

from server.clicks.preparing import Preparing
from server.crm.remote import RemoteCrm
from server.model.action import ActionState, TestedAction
from server.model.click import ActionRun, Prepared, Receiver
from server.model.crm import Person
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Recipient
from server.model.script import Unprepared
from server.store.action_run import UNKNOWN_PERSON
from server.store.action_run_list import ActionRunStore
from server.store.outbox import OutboxStore
from server.store.pages import Key, Page
from server.store.recipients import RecipientStore

CARD_SECONDS = 5.0
"""How long a remote CRM has for the card that a dry run needs."""


class ActionRuns:
    """The use cases of action runs. Methods block unless they are async; errors are those that the contract names."""

    def __init__(
        self,
        store: ActionRunStore,
        outbox: OutboxStore,
        recipients: RecipientStore,
        preparing: Preparing,
        crm: RemoteCrm | None,
        new_click_id: Callable[[], bytes],
        deliver: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`crm` = None: the CRM is the embedded one. `deliver` has what is due taken to where it belongs at once."""
        self._store = store
        self._outbox = outbox
        self._recipients = recipients
        self._preparing = preparing
        self._crm = crm
        self._new_click_id = new_click_id
        self._deliver = deliver
        self._clock = clock

    def page(
        self, link_id: int, mailing_id: int, person_id: int, state: ActionState | None, after: Key | None, size: int
    ) -> Page[ActionRun]:
        """Runs of clicks since the last reset, newest first."""
        return self._store.page(link_id, mailing_id, person_id, state, after, size)

    def get(self, click_id: bytes, action_id: int) -> ActionRun:
        """What became of one action of one click."""
        return self._store.get(click_id, action_id)

    async def test(self, link_id: int, mailing_id: int, recipient: Recipient) -> list[TestedAction]:
        """What a click by this recipient would make happen now; a test makes nothing happen, whoever it is."""
        number = NOBODY
        if recipient.person_id:
            number = person_recipient(recipient.person_id)
        elif recipient.email:
            number = address_recipient(0)  # whoever it is, it is no registered person
        card = await self._card(recipient.person_id or 0)
        prepared = Prepared(card=card)
        trial = partial(self._store.test, self._new_click_id(), link_id, mailing_id, number, recipient.do_not_track)
        found = await asyncio.to_thread(trial, prepared, self._clock())
        if isinstance(found, Unprepared):
            found = await asyncio.to_thread(trial, await self._preparing.prepare(prepared, found, final=True), self._clock())
        assert not isinstance(found, Unprepared), "what is final waits for nothing"
        if recipient.test:
            return [TestedAction(each.action, ActionState.skipped, "The recipient is a test", []) for each in found]
        if self._crm is not None and recipient.person_id and card is None:
            return [_of_unknown(each) for each in found]
        return found

    async def _card(self, person_id: int) -> Person | None:
        """The person's card in a remote CRM, if there is one. Raises CRM_UNAVAILABLE."""
        if self._crm is None or not person_id:
            return None
        cards, _ = await self._crm.persons([person_id], CARD_SECONDS)
        return cards.get(person_id)

    def retry(self, link_id: int, mailing_id: int, click_id: bytes | None, action_id: int) -> int:
        """Has dead runs tried again; how many. 0 and None narrow nothing."""
        self._store.refuse_unknown(link_id, mailing_id)
        count = self._outbox.retry(link_id, mailing_id, click_id, action_id, self._clock())
        self._deliver()
        return count

    def receivers(self, after: Key | None, size: int) -> Page[Receiver]:
        """The other systems for which something is left, by address."""
        return self._outbox.receivers(after, size)

    def recipients(self, numbers: Collection[int]) -> Mapping[int, Recipient]:
        """Who these recipient numbers mean."""
        return self._recipients.known(numbers)


def _of_unknown(tested: TestedAction) -> TestedAction:
    needs_person = tested.action.kind.needs_person and tested.state in (ActionState.waiting, ActionState.failed)
    return TestedAction(tested.action, ActionState.skipped, UNKNOWN_PERSON, []) if needs_person else tested
