"""How much room cards have for extra fields: a card has a bound, so that it can be read."""

from collections.abc import Iterable, Sequence

from server.model.crm import MOST_EXTRA_FIELDS
from server.store.sql import Statements

CARD_FULL = f"The person's card has {MOST_EXTRA_FIELDS} extra fields already, and takes no other one"

FieldChange = tuple[int, str, bool]
"""An extra field of a person, and whether it gets a value; else it is cleared."""


class CardRoom:
    """The room on some cards, as changes take it up one after the other. Two servers at once may go beyond it by what each adds."""

    def __init__(self, statements: Statements, changes: Iterable[FieldChange]) -> None:
        """`changes` are all that will be asked for: what is far from the bound with all of them is counted only."""
        wanted: dict[int, set[str]] = {}
        for person_id, field, has_value in changes:
            if has_value:
                wanted.setdefault(person_id, set()).add(field)
        most = max(map(len, wanted.values()), default=0)
        if most > MOST_EXTRA_FIELDS:
            full = sorted(wanted)
        else:  # hardly any card is near it, and a row for each costs more than to count
            near = f" GROUP BY person_id HAVING count(*) > {MOST_EXTRA_FIELDS - most}"
            full = sorted(row.person_id for row in statements.matching(_COUNTED, sorted(wanted), near))
        self._fields: dict[int, set[str]] = {person_id: set() for person_id in full}
        for row in statements.matching(_FIELDS, full):
            self._fields[row.person_id].add(row.field)

    def takes(self, changes: Sequence[FieldChange]) -> bool:
        """Whether all of these changes fit, one after the other; if they do, they are made."""
        after = {person_id: set(self._fields[person_id]) for person_id, _, _ in changes if person_id in self._fields}
        for person_id, field, has_value in changes:
            if (fields := after.get(person_id)) is None:
                continue
            if not has_value:
                fields.discard(field)
            elif field not in fields and len(fields) >= MOST_EXTRA_FIELDS:
                return False
            else:
                fields.add(field)
        self._fields |= after
        return True


_COUNTED = "SELECT person_id FROM crm_extra_field WHERE person_id IN"
_FIELDS = "SELECT person_id, field FROM crm_extra_field WHERE person_id IN"
