"""What clicks have made happen, and what one would: the questions that people ask of actions."""

from collections.abc import Callable, Collection, Mapping

from server.model.action import ActionState, TestedAction
from server.model.click import ActionRun
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Recipient
from server.store.action_run_list import ActionRunStore
from server.store.pages import Key, Page
from server.store.recipients import RecipientStore


class ActionRuns:
    """The use cases of action runs. Every method blocks; errors are those that the contract names."""

    def __init__(self, store: ActionRunStore, recipients: RecipientStore, new_click_id: Callable[[], bytes]) -> None:
        self._store = store
        self._new_click_id = new_click_id
        self._recipients = recipients

    def page(
        self, link_id: int, mailing_id: int, person_id: int, state: ActionState | None, after: Key | None, size: int
    ) -> Page[ActionRun]:
        """Runs of clicks since the last reset, newest first."""
        return self._store.page(link_id, mailing_id, person_id, state, after, size)

    def get(self, click_id: bytes, action_id: int) -> ActionRun:
        """What became of one action of one click."""
        return self._store.get(click_id, action_id)

    def test(self, link_id: int, mailing_id: int, recipient: Recipient) -> list[TestedAction]:
        """What a click by this recipient would make happen now; a test makes nothing happen, whoever it is."""
        number = NOBODY
        if recipient.person_id:
            number = person_recipient(recipient.person_id)
        elif recipient.email:
            number = address_recipient(0)  # whoever it is, it is no registered person
        tested = self._store.test(self._new_click_id(), link_id, mailing_id, number, recipient.do_not_track)
        if not recipient.test:
            return tested
        return [TestedAction(each.action, ActionState.skipped, "The recipient is a test", []) for each in tested]

    def recipients(self, numbers: Collection[int]) -> Mapping[int, Recipient]:
        """Who these recipient numbers mean."""
        return self._recipients.known(numbers)
