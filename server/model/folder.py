"""A folder of registered links."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from server.model.ids import OptionalId
from server.model.text import Name, Text


class Folder(SQLModel):
    """A place for registered links; the root itself is no folder and has the id 0."""

    id: int = 0
    name: Name
    description: Text = ""
    parent_id: OptionalId = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    revision: int = Field(default=1)

    @property
    def etag(self) -> str:
        """What a change may name to be refused if someone else was faster."""
        return str(self.revision)
