"""`trackedlinks folder …`"""

from collections.abc import Callable
from typing import Annotated

import typer

from trackedlinks.v1 import folder_pb2, folder_service_pb2
from trackedlinks_client.output import Json, json_line, listing, say
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection

_Id = Annotated[int, typer.Argument(help="The folder's id.")]


def create(
    ctx: typer.Context, name: str, parent: Annotated[int, typer.Option(help="The folder above; 0 = the root.")] = 0, as_json: Json = False
) -> None:
    """Make a folder."""
    with connection(ctx) as service:
        made = service.folders.CreateFolder(folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(name=name, parent_id=parent)))
    _show(made, as_json)


def list_(
    ctx: typer.Context,
    parent: Annotated[int, typer.Option(help="The folder whose sub-folders are listed; 0 = the root.")] = 0,
    everywhere: Annotated[bool, typer.Option("--all", help="All folders, wherever they are.")] = False,
    as_json: Json = False,
) -> None:
    """List the direct sub-folders of a folder, or all folders."""
    if everywhere and parent:
        raise typer.BadParameter("--all and --parent exclude each other")
    request = folder_service_pb2.ListFoldersRequest(parent_id=None if everywhere else parent)
    with connection(ctx) as service:
        folders = every(service.folders.ListFolders, request, "folders")
        listing(folders, as_json, ("ID#", "PARENT#", "NAME", "DESCRIPTION"), _row, "no folders")


def rename(ctx: typer.Context, id: _Id, name: str, as_json: Json = False) -> None:
    """Give a folder another name."""
    request = folder_service_pb2.UpdateFolderRequest(folder=folder_pb2.Folder(id=id, name=name))
    request.update_mask.paths.append("name")
    with connection(ctx) as service:
        changed = service.folders.UpdateFolder(request)
    _show(changed, as_json)


def move(
    ctx: typer.Context, id: _Id, parent: Annotated[int, typer.Argument(help="Where to; 0 = the root.")], as_json: Json = False
) -> None:
    """Move a folder, with all that is in it, below another."""
    with connection(ctx) as service:
        moved = service.folders.MoveFolder(folder_service_pb2.MoveFolderRequest(id=id, parent_id=parent))
    _show(moved, as_json)


def delete(
    ctx: typer.Context, id: _Id, force: Annotated[bool, typer.Option("--force", help="Move what is in it up to its parent.")] = False
) -> None:
    """Delete a folder for good; links are never deleted with it."""
    with connection(ctx) as service:
        service.folders.DeleteFolder(folder_service_pb2.DeleteFolderRequest(id=id, force=force))
    say(f"folder {id} is deleted")


def _row(folder: folder_pb2.Folder) -> tuple[object, ...]:
    return folder.id, folder.parent_id, folder.name, folder.description


def _show(folder: folder_pb2.Folder, as_json: bool) -> None:
    if as_json:
        json_line(folder)
    else:
        where = f"in folder {folder.parent_id}" if folder.parent_id else "at the root"
        say(f"folder {folder.id}: {folder.name} ({where})")


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "list": list_, "rename": rename, "move": move, "delete": delete}
