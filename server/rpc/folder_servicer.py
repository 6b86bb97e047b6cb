"""FolderService over gRPC: message in, use case, message out."""

from typing import Any

from google.protobuf import empty_pb2

from server.folders import Folders
from server.model.folder import Folder
from server.rpc import checks, wire
from server.rpc.calls import request_of, user_of
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens, key_by, order_of
from trackedlinks.v1 import folder_pb2, folder_service_pb2, folder_service_pb2_grpc

WRITABLE = ("name", "description")
ORDERS = ("name", "create_time", "update_time")


class FolderServicer(folder_service_pb2_grpc.FolderServiceServicer):
    """Serves the use cases of folders."""

    def __init__(self, folders: Folders, tokens: PageTokens) -> None:
        self._folders = folders
        self._tokens = tokens

    def CreateFolder(self, request: folder_service_pb2.CreateFolderRequest, context: Any) -> folder_pb2.Folder:
        with checks.AllAtOnce() as each:
            draft = each(wire.to_model, request.folder, Folder, "folder")
            asked = each(request_of, request)
        return to_folder(self._folders.create(draft, asked))

    def GetFolder(self, request: folder_service_pb2.GetFolderRequest, context: Any) -> folder_pb2.Folder:
        checks.positive(id=request.id)
        return to_folder(self._folders.get(request.id))

    def ListFolders(self, request: folder_service_pb2.ListFoldersRequest, context: Any) -> folder_service_pb2.ListFoldersResponse:
        with checks.AllAtOnce() as each:
            each(checks.not_negative, parent_id=request.parent_id)
            size = each(self._tokens.page_size, request)
            order = each(order_of, request.order_by, ORDERS, "name")
        after = self._tokens.after(request)
        parent_id = request.parent_id if request.HasField("parent_id") else None
        page = self._folders.page(parent_id, *order, after, size)
        folders, next_key = fitting(page, to_folder, key_by(order[0]))
        return folder_service_pb2.ListFoldersResponse(folders=folders, next_page_token=self._tokens.token(request, next_key))

    def UpdateFolder(self, request: folder_service_pb2.UpdateFolderRequest, context: Any) -> folder_pb2.Folder:
        with checks.AllAtOnce() as each:
            each(checks.positive, **{"folder.id": request.folder.id})
            patch = each(wire.patch, request.folder, request.update_mask, Folder, WRITABLE, "folder")
        return to_folder(self._folders.update(request.folder.id, request.folder.etag, patch))

    def MoveFolder(self, request: folder_service_pb2.MoveFolderRequest, context: Any) -> folder_pb2.Folder:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            each(checks.not_negative, parent_id=request.parent_id)
        return to_folder(self._folders.move(request.id, request.parent_id, request.etag))

    def DeleteFolder(self, request: folder_service_pb2.DeleteFolderRequest, context: Any) -> empty_pb2.Empty:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            user = each(user_of, context)
        self._folders.delete(request.id, request.force, request.etag, user)
        return empty_pb2.Empty()


def to_folder(folder: Folder) -> folder_pb2.Folder:
    """The folder as it goes over the wire."""
    return wire.to_message(folder, folder_pb2.Folder)
