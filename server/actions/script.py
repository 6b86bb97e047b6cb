"""Runs a script, which may choose where the recipient goes."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from server.model.action import ActionKind, Occasion
from server.model.crm import Catalog
from server.model.effects import Effect
from server.model.ids import Id, OptionalId


class RunScript(ActionKind):
    """The script to run, in one version or (0) in its newest."""

    needs_person: ClassVar[bool] = False

    tag: Literal["script"] = "script"
    script_id: Id
    version: OptionalId = 0

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """Nothing of the CRM."""
        return iter(())

    def script(self) -> tuple[int, int]:
        """The script and its version."""
        return self.script_id, self.version

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """Nothing: a script decides the answer and logs, so that running it twice harms nothing."""
        return iter(())
