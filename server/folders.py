"""What callers do with folders: check, then store."""

from collections.abc import Callable
from datetime import datetime

from server.model.folder import Folder
from server.store.folders import FolderStore
from server.store.pages import Key, Page
from server.store.requests import RequestId


class Folders:
    """The use cases of folders. Every method blocks; errors are those that the contract names."""

    def __init__(self, store: FolderStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def create(self, draft: Folder, request: RequestId) -> Folder:
        """Makes a folder."""
        now = self._clock()
        return self._store.create(draft.model_copy(update={"create_time": now, "update_time": now}), request)

    def get(self, folder_id: int) -> Folder:
        """The folder with this id."""
        return self._store.get(folder_id)

    def page(self, parent_id: int | None, order_by: str, descending: bool, after: Key | None, size: int) -> Page[Folder]:
        """The direct sub-folders of a folder (0: those at the root), or all folders."""
        return self._store.page(parent_id, order_by, descending, after, size)

    def update(self, folder_id: int, etag: str, patch: Callable[[Folder], Folder]) -> Folder:
        """Changes name or description."""
        return self._store.change(folder_id, etag, patch, self._clock())

    def move(self, folder_id: int, parent_id: int, etag: str) -> Folder:
        """Moves a folder with all that is in it."""
        return self._store.move(folder_id, parent_id, etag, self._clock())

    def delete(self, folder_id: int, force: bool, etag: str, user: int) -> None:
        """Deletes a folder; with force, what is in it moves up to its parent."""
        self._store.delete(folder_id, force, etag, user, self._clock())
