"""Who recipient numbers mean, for showing."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from server.model.ids import address_of, person_of
from server.model.mailing import Recipient
from server.store.database import Database
from server.store.sql import Statements
from server.turns import give_way


class RecipientStore:
    """The recipients of one database, and the names that its embedded CRM knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, numbers: Collection[int]) -> Mapping[int, Recipient]:
        """Who these numbers mean: a person and the name that the CRM knows, an address, or nobody."""

        def work(connection: Connection) -> dict[int, Recipient]:
            statements = Statements(connection)
            persons = sorted({person_of(number) for number in numbers} - {0})
            addresses = sorted({address_of(number) for number in numbers} - {0})
            names = {row.id: row.name for row in statements.matching("SELECT id, name FROM crm_person WHERE id IN", persons)}
            emails = {row.id: row.address for row in statements.matching("SELECT id, address FROM address WHERE id IN", addresses)}
            return {number: _recipient(number, names, emails) for number in set(numbers)}

        return self._database.read(work)


def _recipient(number: int, names: Mapping[int, str], emails: Mapping[int, str]) -> Recipient:
    give_way()
    if person_id := person_of(number):
        return Recipient.model_construct(person_id=person_id, name=names.get(person_id, ""))
    return Recipient.model_construct(email=emails.get(address_of(number)))
