"""Whether what actions name exists in the CRM, asked when a link is saved."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from server.model.action import LinkAction
from server.model.crm import Catalog
from server.model.errors import DomainError, Reason, Violation

Reference = tuple[Catalog, int]


class References(Protocol):
    """Knows which entries of its catalogues a CRM has."""

    def missing(self, references: Collection[Reference]) -> set[Reference]:
        """Those of the references that do not exist."""


def check_actions(crm: References, actions: Mapping[str, Sequence[LinkAction]], known: Collection[Reference] = ()) -> None:
    """Raises REFERENCE_NOT_FOUND with every id that the CRM does not have. `actions` are given by the path of their link.

    What is `known` is not asked for: an id that stood in the link before may have gone since, which is no reason to refuse
    a change of something else.
    """
    named = [
        (f"{path}.actions[{index}].{action.kind.tag}.{field}", (catalog, entry_id))
        for path, some in actions.items()
        for index, action in enumerate(some)
        for field, catalog, entry_id in action.kind.references()
        if (catalog, entry_id) not in known
    ]
    missing = crm.missing({reference for _, reference in named}) if named else set()
    check_missing([(field, reference) for field, reference in named if reference in missing])


def check_missing(missing: Sequence[tuple[str, Reference]]) -> None:
    """Raises REFERENCE_NOT_FOUND for references that do not exist, each with the path of its field."""
    if missing:
        violations = [
            Violation(field, f"the CRM has no {catalog.value.replace('_', ' ')} {entry_id}") for field, (catalog, entry_id) in missing
        ]
        raise DomainError(Reason.reference_not_found, f"{violations[0].field}: {violations[0].description}", violations)
