"""Who clicked, and what was seen of each click: the questions that people ask of clicks."""

from collections.abc import Collection, Mapping

from server.model.click import AddedClickers, Click, Clicker, ClickerTarget, Verdict
from server.model.mailing import Recipient
from server.store.added_clickers import AddedClickerStore
from server.store.clickers import ClickerStore
from server.store.pages import Key, Page
from server.store.recipients import RecipientStore
from server.store.requests import RequestId


class Clickers:
    """The use cases of clicks that are stored. Every method blocks; errors are those that the contract names."""

    def __init__(self, store: ClickerStore, recipients: RecipientStore, added: AddedClickerStore) -> None:
        self._store = store
        self._added = added
        self._recipients = recipients

    def clickers(self, link_id: int, mailing_id: int, after: Key | None, size: int) -> Page[Clicker]:
        """Who clicked a link, by recipient and mailing; with link_id 0, who clicked in a mailing, by recipient."""
        return self._store.clickers(link_id, mailing_id, after, size)

    def clicks(self, link_id: int, mailing_id: int, verdict: Verdict | None, after: Key | None, size: int) -> Page[Click]:
        """Clicks since the last reset, newest first."""
        return self._store.clicks(link_id, mailing_id, verdict, after, size)

    def add(self, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> AddedClickers:
        """Adds the clickers to a selection or project, and reports those who are skipped."""
        return self._added.add(link_id, mailing_id, target, request)

    def recipients(self, numbers: Collection[int]) -> Mapping[int, Recipient]:
        """Who these recipient numbers mean."""
        return self._recipients.known(numbers)
