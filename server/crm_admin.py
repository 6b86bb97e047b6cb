"""What callers do with the embedded CRM: fill it, look at it, ask whether something is there, and have actions applied in it."""

from collections.abc import Sequence
from datetime import datetime

from server.model.crm import Catalog, CatalogEntry, FollowUp, Person, ServiceRequest
from server.model.crm_actions import CrmAction, CrmResult
from server.model.reference import EntryReference
from server.model.subscription import Subscriber, Subscription
from server.store.crm import CrmStore
from server.store.crm_activities import ActivityStore
from server.store.crm_entries import EntryStore
from server.store.pages import Key, Page
from server.store.requests import RequestId
from server.store.subscriptions import SubscriptionStore


class EmbeddedCrm:
    """The use cases of the embedded CRM. Every method blocks; errors are those that the contract names."""

    def __init__(self, persons: CrmStore, entries: EntryStore, activities: ActivityStore, subscriptions: SubscriptionStore) -> None:
        self._persons = persons
        self._subscriptions = subscriptions
        self._entries = entries
        self._activities = activities

    def create_person(self, draft: Person, request: RequestId) -> Person:
        """Makes a person; memberships are taken by id."""
        return self._persons.create_person(draft, request)

    def person(self, person_id: int) -> Person:
        """One person's card."""
        return self._persons.person(person_id)

    def persons(self, ids: Sequence[int]) -> tuple[list[Person], list[int]]:
        """The persons with these ids, in this order, and the ids that there is no person for."""
        return self._persons.persons(ids)

    def page_of_persons(self, member_of: int, after: Key | None, size: int) -> Page[Person]:
        """Persons by id; only members of one selection, project or interest unless member_of is 0."""
        return self._persons.page_of_persons(member_of, after, size)

    def delete_person(self, person_id: int) -> None:
        """Deletes a person; what clicks made for colleagues stays."""
        self._persons.delete_person(person_id)

    def create_entry(self, draft: CatalogEntry, request: RequestId) -> CatalogEntry:
        """Makes an entry of a catalogue."""
        return self._entries.create(draft, request)

    def page_of_entries(self, catalog: Catalog | None, after: Key | None, size: int) -> Page[CatalogEntry]:
        """Entries by id; of one catalogue where it is given."""
        return self._entries.page(catalog, after, size)

    def delete_entry(self, entry_id: int) -> None:
        """Deletes an entry and its memberships; actions that name it fail from then on."""
        self._entries.delete(entry_id)

    def page_of_follow_ups(self, person_id: int, after: Key | None, size: int) -> Page[FollowUp]:
        """Follow-ups, newest first; only those about one person unless person_id is 0."""
        return self._activities.follow_ups(person_id, after, size)

    def page_of_service_requests(self, person_id: int, after: Key | None, size: int) -> Page[ServiceRequest]:
        """Service requests likewise."""
        return self._activities.service_requests(person_id, after, size)

    def missing(self, references: Sequence[EntryReference]) -> list[EntryReference]:
        """Those of the references that do not exist, in their order."""
        missing = self._persons.missing({(reference.catalog, reference.id) for reference in references})
        return [reference for reference in references if (reference.catalog, reference.id) in missing]

    def apply(self, actions: Sequence[CrmAction], now: datetime) -> list[CrmResult]:
        """Makes what each action wants happen, wholly or not at all, and once by its key; what became of each, in order."""
        return self._persons.apply(actions, now)

    def subscriptions(self, subscribers: Sequence[Subscriber], mailing_type_id: int) -> list[list[Subscription]]:
        """For each subscriber the mailing types, by id, or only one where it is given."""
        return self._subscriptions.of(subscribers, mailing_type_id)

    def set_subscription(self, subscriber: Subscriber, mailing_type_id: int, subscribed: bool, time: datetime) -> Subscription:
        """What the subscription is once what was wanted at this time is done."""
        return self._subscriptions.set(subscriber, mailing_type_id, subscribed, time)
