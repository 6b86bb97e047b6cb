"""Adds persons to interests, selections and projects, and removes them: three kinds of one shape."""

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from server.model.action import ActionKind, Occasion
from server.model.crm import Catalog
from server.model.effects import Effect, SetMembership
from server.model.ids import Id


class Memberships(ActionKind):
    """What the three kinds share: entries of one catalogue to add the person to and to remove the person from."""

    catalog: ClassVar[Catalog]

    add: list[Id] = Field(default_factory=list, max_length=100)
    remove: list[Id] = Field(default_factory=list, max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("add or remove must name at least one id")
        if both := sorted(set(self.add) & set(self.remove)):
            raise ValueError(f"the same id must not stand in add and remove: {', '.join(map(str, both[:10]))}")
        return self

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """Every id in add and in remove."""
        for name, ids in (("add", self.add), ("remove", self.remove)):
            for index, entry_id in enumerate(ids):
                yield f"{name}[{index}]", self.catalog, entry_id

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """The person is a member of what add names, and of nothing that remove names."""
        for entry_id in self.add:
            yield SetMembership(occasion.person.id, self.catalog, entry_id, member=True)
        for entry_id in self.remove:
            yield SetMembership(occasion.person.id, self.catalog, entry_id, member=False)

    def only_removals(self) -> ActionKind | None:
        """The same without what it adds."""
        return self.model_copy(update={"add": []}) if self.remove else None


class ChangeInterests(Memberships):
    """Interests to add and to remove."""

    catalog: ClassVar[Catalog] = Catalog.interest
    tag: Literal["interests"] = "interests"


class ChangeSelections(Memberships):
    """Static selections to add the person to and to remove the person from."""

    catalog: ClassVar[Catalog] = Catalog.selection
    tag: Literal["selection"] = "selection"


class ChangeProjects(Memberships):
    """Projects to add the person to and to remove the person from."""

    catalog: ClassVar[Catalog] = Catalog.project
    tag: Literal["project"] = "project"
