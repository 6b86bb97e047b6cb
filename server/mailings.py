"""What callers do with mailings: check, then store."""

from collections.abc import Callable
from datetime import datetime

from server.crm.references import References, check_missing
from server.model.crm import Catalog
from server.model.mailing import CountedMailing, Mailing, MailingLink
from server.store.mailings import MailingStore
from server.store.pages import Key, Page
from server.store.requests import RequestId


class Mailings:
    """The use cases of mailings. Every method blocks; errors are those that the contract names."""

    def __init__(self, store: MailingStore, references: References, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._references = references
        self._clock = clock

    def create(self, draft: Mailing, user: int, request: RequestId) -> CountedMailing:
        """Makes a mailing."""
        if not self._store.made_before(request):
            self._check_type(draft)
        now = self._clock()
        stamp = {"creator": user, "create_time": now, "update_time": now}
        return self._store.create(draft.settled().model_copy(update=stamp), request)

    def get(self, mailing_id: int) -> CountedMailing:
        """The mailing, also when it is deleted."""
        return self._store.get(mailing_id)

    def page(self, creator: int | None, query: str, order_by: str, descending: bool, after: Key | None, size: int) -> Page[CountedMailing]:
        """Mailings that are not deleted and pass every filter."""
        return self._store.page(creator, query, order_by, descending, after, size)

    def update(self, mailing_id: int, etag: str, patch: Callable[[Mailing], Mailing]) -> CountedMailing:
        """Changes a mailing; the change is seen by the next click."""
        current = self._store.get(mailing_id)
        wanted = patch(current)
        if wanted.mailing_type_id != current.mailing_type_id:
            self._check_type(wanted)
        return self._store.change(mailing_id, etag, lambda latest: patch(latest).settled(), self._clock())

    def delete(self, mailing_id: int, etag: str) -> CountedMailing:
        """Hides the mailing; its mails go on working."""
        return self._store.delete(mailing_id, etag, self._clock())

    def links(self, mailing_id: int, after: Key | None, size: int) -> Page[MailingLink]:
        """Every link in the mailing, with its figures there."""
        return self._store.links(mailing_id, after, size)

    def _check_type(self, wanted: Mailing) -> None:
        reference = (Catalog.mailing_type, wanted.mailing_type_id)
        if wanted.mailing_type_id and self._references.missing([reference]):
            check_missing([("mailing.mailing_type_id", reference)])
