"""Who the recipients of a batch of clicks are, as far as actions and answers need to know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.model.click import SeenClick
from server.model.crm import Contact
from server.model.ids import address_of, person_of
from server.store.click_rows import NewClick
from server.store.forms import addresses
from server.store.sql import Statements


@dataclass(frozen=True, slots=True)
class Contacts:
    """The persons and addresses that are known."""

    persons: Mapping[int, Contact]
    addresses: Mapping[int, str]

    def of(self, recipient: int) -> Contact:
        """Who this is: of an unknown person the number only, of an address the address, of nobody nothing."""
        person_id = person_of(recipient)
        return self.persons.get(person_id) or Contact(person_id, "", 0, self.addresses.get(address_of(recipient), ""))


def embedded_persons(statements: Statements, person_ids: Iterable[int]) -> dict[int, Contact]:
    """Of these persons those that the embedded CRM knows; they stay as they are until the transaction ends."""
    select = "SELECT id, name, our_contact_id, email FROM crm_person WHERE id IN"
    rows = statements.matching(select, sorted(set(person_ids) - {0}), statements.for_share("id"))
    return {row.id: Contact(row.id, row.name, row.our_contact_id, row.email) for row in rows}


def remote_persons(batch: Iterable[SeenClick]) -> dict[int, Contact]:
    """The persons whose cards the clicks have brought from a remote CRM."""
    cards = (seen.prepared.card for seen in batch if seen.prepared and seen.prepared.card)
    return {card.id: Contact(card.id, card.name, card.our_contact_id, card.email) for card in cards}


def addresses_for(statements: Statements, acting: Iterable[NewClick]) -> dict[int, str]:
    """The addresses of recipients who are no persons, where an action sends them elsewhere."""
    return addresses(statements, (address_of(click.seen.recipient) for click in acting if click.destination.sends_elsewhere))
