"""Which CRM the service works with: the embedded one, or another at an address."""

import re
from collections.abc import Collection, Sequence
from typing import Protocol

from server.crm.references import Reference
from server.model.crm import Person
from server.model.crm_actions import CrmAction, CrmResult

EMBEDDED = "embedded"

_REMOTE = re.compile(r"grpc://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+]):([1-9][0-9]{0,4}))")
_LAST_PORT = 65_535


def parse_crm(setting: str) -> str | None:
    """The address, host:port, of the CRM that the setting names; None for the embedded one. Raises ValueError for anything else."""
    if setting == EMBEDDED:
        return None
    found = _REMOTE.fullmatch(setting)
    if found is None or int(found[2]) > _LAST_PORT:
        raise ValueError(f"must be {EMBEDDED} or grpc://host:port, such as grpc://127.0.0.1:50061, not {setting[:200]!r}")
    return found[1]


class RemoteCrm(Protocol):
    """What is asked of a CRM of somebody else. Every method raises CRM_UNAVAILABLE, with metadata `code`."""

    async def persons(self, ids: Sequence[int], seconds: float) -> tuple[dict[int, Person], set[int]]:
        """The cards of these persons by id, and which of them it does not know."""

    async def apply(self, actions: Sequence[CrmAction], seconds: float) -> list[CrmResult]:
        """Makes what actions want happen, in order; what became of each."""

    def missing(self, references: Collection[Reference]) -> set[Reference]:
        """Those of the references that do not exist. Blocks."""
