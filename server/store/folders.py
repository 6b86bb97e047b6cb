"""Folders in the database: each method is one transaction."""

from typing import Any

from sqlalchemy import Connection, Select, select

from server.model.errors import DomainError, Reason
from server.store.tables import FolderRow, table_of

folder = table_of(FolderRow)


def folder_exists(connection: Connection, folder_id: int) -> None:
    """Raises FOLDER_NOT_FOUND unless the folder exists; 0 is the root, which always does."""
    if folder_id and connection.execute(select(folder.c.id).where(folder.c.id == folder_id).with_for_update(read=True)).first() is None:
        raise DomainError(Reason.folder_not_found, f"there is no folder {folder_id}", id=folder_id)


def folders_below(folder_id: int) -> Select[Any]:
    """The ids of a folder and of all folders below it, to any depth."""
    tree = select(folder.c.id).where(folder.c.id == folder_id).cte("tree", recursive=True)
    return select(tree.union(select(folder.c.id).join(tree, folder.c.parent_id == tree.c.id)).c.id)
