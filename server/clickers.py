"""Who clicked, and what was seen of each click: the questions that people ask of clicks."""

from asyncio import to_thread
from collections.abc import Collection, Mapping
from uuid import uuid4

from server.crm.remote import RemoteCrm
from server.model.click import AddedClickers, Click, Clicker, ClickerTarget, Verdict
from server.model.crm import Catalog, CatalogEntry, Person
from server.model.crm_actions import CrmAction, EffectsOutcome
from server.model.effects import SetMembership
from server.model.errors import DomainError, Reason, Violation
from server.model.ids import person_of, person_recipient
from server.model.mailing import Recipient
from server.store.added_clickers import MOST_SKIPPED, AddedClickerStore
from server.store.clickers import ClickerStore
from server.store.pages import Key, Page
from server.store.recipients import RecipientStore
from server.store.requests import RequestId

SLICE = 200
"""Clickers that are asked for and added in a remote CRM at once."""

SECONDS = 10.0
"""How long a call to a remote CRM may take."""


class Clickers:
    """The use cases of clicks and clickers. Methods block unless they are async; errors are those that the contract names."""

    def __init__(self, store: ClickerStore, recipients: RecipientStore, added: AddedClickerStore, remote: RemoteCrm | None) -> None:
        """`remote` = None: the CRM is the embedded one."""
        self._store = store
        self._recipients = recipients
        self._added = added
        self._remote = remote

    def clickers(self, link_id: int, mailing_id: int, after: Key | None, size: int) -> Page[Clicker]:
        """Who clicked a link, by recipient and mailing; with link_id 0, who clicked in a mailing, by recipient."""
        return self._store.clickers(link_id, mailing_id, after, size)

    def clicks(self, link_id: int, mailing_id: int, verdict: Verdict | None, after: Key | None, size: int) -> Page[Click]:
        """Clicks since the last reset, newest first."""
        return self._store.clicks(link_id, mailing_id, verdict, after, size)

    async def add(self, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> AddedClickers:
        """Adds the clickers to a selection or project, and reports those who are skipped."""
        if self._remote is None:
            return await to_thread(self._added.add, link_id, mailing_id, target, request)
        return await self._add_in(self._remote, link_id, mailing_id, target, request)

    async def _add_in(self, remote: RemoteCrm, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> AddedClickers:
        """The same in a remote CRM, slice by slice. Sent again with its request_id after an error, it does no one twice."""
        words = target.catalog.value
        if target.new_name:
            raise DomainError(Reason.crm_is_remote, f"the CRM is a remote one: make the {words} there and give its id")
        if await to_thread(remote.missing, [(target.catalog, target.entry_id)]):
            problem = Violation(f"{words}_id", f"the CRM has no {words} {target.entry_id}")
            raise DomainError(Reason.reference_not_found, f"{problem.field}: {problem.description}", [problem])
        await to_thread(self._added.remember, target, request)
        key = f"add_{request.id or uuid4()}_{target.catalog.value}_{target.entry_id}"
        entry = CatalogEntry.model_construct(id=target.entry_id, catalog=target.catalog, name="")
        added = AddedClickers(entry, 0, 0, 0, [])
        last = 0
        while recipients := await to_thread(self._added.recipients, link_id, mailing_id, last, SLICE):
            last = recipients[-1]
            cards, _ = await remote.persons(sorted({person_of(each) for each in recipients} - {0}), SECONDS)
            outside = [each for each in recipients if person_of(each) not in cards]
            new = [person_id for person_id, card in sorted(cards.items()) if not _is_member(card, target)]
            effects = {person_id: SetMembership(person_id, target.catalog, target.entry_id, member=True) for person_id in new}
            results = await remote.apply([CrmAction(f"{key}_{each}", each, [effects[each]]) for each in new], SECONDS) if new else []
            refused = [each for each, result in zip(new, results, strict=True) if result.outcome is not EffectsOutcome.applied]
            skipped = sorted([*outside, *(person_recipient(each) for each in refused)])
            added = AddedClickers(
                entry,
                added.added_count + len(new) - len(refused),
                added.present_count + len(cards) - len(new),
                added.skipped_count + len(skipped),
                [*added.skipped, *skipped][:MOST_SKIPPED],
            )
        return added

    def recipients(self, numbers: Collection[int]) -> Mapping[int, Recipient]:
        """Who these recipient numbers mean."""
        return self._recipients.known(numbers)


def _is_member(card: Person, target: ClickerTarget) -> bool:
    members_of = card.selections if target.catalog is Catalog.selection else card.projects
    return any(reference.id == target.entry_id for reference in members_of)
