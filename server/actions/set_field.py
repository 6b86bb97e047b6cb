"""Sets an extra field on the contact card."""

from collections.abc import Iterator
from typing import Literal

from server.model.action import ActionKind, Occasion
from server.model.crm import Catalog
from server.model.effects import Effect, SetExtraField
from server.model.text import Name, Text


class SetField(ActionKind):
    """The extra field to set, and its value; an empty value clears it."""

    tag: Literal["set_field"] = "set_field"
    field: Name
    value: Text = ""

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """Nothing: an extra field is named, not numbered."""
        return iter(())

    def field_set(self) -> tuple[str, bool]:
        """The field."""
        return self.field, bool(self.value)

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """The field on the person's card has the value, cut to the 2,047 characters that a card takes."""
        yield SetExtraField(occasion.person.id, self.field, occasion.fill(self.value)[:2047])
