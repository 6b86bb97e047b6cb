"""What tests of links and folders share: making them, and asking for them."""

from typing import Any

from tests.support.stubs import Stubs
from trackedlinks.v1 import folder_pb2, folder_service_pb2, link_pb2, link_service_pb2


def link_draft(name: str = "Spring", url: str = "https://example.com/spring", **fields: Any) -> link_pb2.Link:
    """A link to make; `custom_text` instead of the URL where it is given."""
    response = {} if "custom_text" in fields else {"redirect": link_pb2.Redirect(url=url)}
    return link_pb2.Link(**{"name": name} | response | fields)


def by_user(user: int | str) -> list[tuple[str, str]]:
    """The metadata of a call for this user."""
    return [("trackedlinks-user-id", str(user))]


async def create_link(stubs: Stubs, name: str = "Spring", user: int = 0, **fields: Any) -> link_pb2.Link:
    """Makes a link."""
    request = link_service_pb2.CreateLinkRequest(link=link_draft(name, **fields))
    made: link_pb2.Link = await stubs.links.CreateLink(request, metadata=by_user(user) if user else None)
    return made


async def get_link(stubs: Stubs, link_id: int) -> link_pb2.Link:
    """The link as it is now."""
    found: link_pb2.Link = await stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link_id))
    return found


async def delete_link(stubs: Stubs, link_id: int, etag: str = "") -> link_pb2.Link:
    """Deletes a link."""
    deleted: link_pb2.Link = await stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=link_id, etag=etag))
    return deleted


async def undelete_link(stubs: Stubs, link_id: int, etag: str = "") -> link_pb2.Link:
    """Shows a deleted link again."""
    shown: link_pb2.Link = await stubs.links.UndeleteLink(link_service_pb2.UndeleteLinkRequest(id=link_id, etag=etag))
    return shown


async def listed_links(stubs: Stubs, user: int = 0, **filters: Any) -> list[str]:
    """The names of the links on the first page of a list, in its order."""
    request = link_service_pb2.ListLinksRequest(**filters)
    response = await stubs.links.ListLinks(request, metadata=by_user(user) if user else None)
    return [link.name for link in response.links]


async def create_folder(stubs: Stubs, name: str, parent_id: int = 0, **fields: Any) -> folder_pb2.Folder:
    """Makes a folder."""
    draft = folder_pb2.Folder(name=name, parent_id=parent_id, **fields)
    made: folder_pb2.Folder = await stubs.folders.CreateFolder(folder_service_pb2.CreateFolderRequest(folder=draft))
    return made


async def get_folder(stubs: Stubs, folder_id: int) -> folder_pb2.Folder:
    """The folder as it is now."""
    found: folder_pb2.Folder = await stubs.folders.GetFolder(folder_service_pb2.GetFolderRequest(id=folder_id))
    return found


async def listed_folders(stubs: Stubs, **filters: Any) -> list[str]:
    """The names of the folders on the first page of a list, in its order."""
    response = await stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(**filters))
    return [folder.name for folder in response.folders]
