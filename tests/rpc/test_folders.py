"""FolderService: a tree of folders, its names, its moves, and what becomes of the contents of a folder that goes."""

from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from tests.support.databases import on_one_database
from tests.support.resources import (
    create_folder,
    create_link,
    delete_link,
    get_folder,
    get_link,
    listed_folders,
    listed_links,
    undelete_link,
)
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import folder_pb2, folder_service_pb2

REQUEST_ID = "0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a89"


def create(request_id: str = "", **fields: Any) -> folder_service_pb2.CreateFolderRequest:
    return folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(**fields), request_id=request_id)


def update(*paths: str, **fields: Any) -> folder_service_pb2.UpdateFolderRequest:
    return folder_service_pb2.UpdateFolderRequest(folder=folder_pb2.Folder(**fields), update_mask=field_mask_pb2.FieldMask(paths=paths))


def move(folder_id: int, parent_id: int, etag: str = "") -> folder_service_pb2.MoveFolderRequest:
    return folder_service_pb2.MoveFolderRequest(id=folder_id, parent_id=parent_id, etag=etag)


def delete(folder_id: int, force: bool = False, etag: str = "") -> folder_service_pb2.DeleteFolderRequest:
    return folder_service_pb2.DeleteFolderRequest(id=folder_id, force=force, etag=etag)


async def test_a_new_folder_has_an_id_times_and_an_etag_of_the_server(stubs: Stubs) -> None:
    request = create(name="Spring", description="All of\nspring", id=77, etag="x")
    request.folder.create_time.seconds = 1
    folder = await stubs.folders.CreateFolder(request)
    assert (folder.name, folder.description, folder.parent_id, folder.id) == ("Spring", "All of\nspring", 0, 1)
    assert folder.etag not in ("", "x")
    assert folder.create_time == folder.update_time
    assert folder.create_time.seconds > 1_700_000_000
    assert folder == await get_folder(stubs, folder.id)


@on_one_database
async def test_every_broken_rule_of_a_new_folder_is_reported_at_once(stubs: Stubs) -> None:
    request = create("no uuid", name="a\tb", description="x" * 2048, parent_id=-1)
    answer = await refused(stubs.folders.CreateFolder(request))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(answer.fields) == {"folder.name", "folder.description", "folder.parent_id", "request_id"}


@on_one_database
@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\nb", "\0", "a\u2028b"])
async def test_a_name_is_one_line_of_1_to_255_characters(stubs: Stubs, name: str) -> None:
    assert set((await refused(stubs.folders.CreateFolder(create(name=name)))).fields) == {"folder.name"}
    folder = await create_folder(stubs, "x" * 255)
    assert set((await refused(stubs.folders.UpdateFolder(update("name", id=folder.id, name=name)))).fields) == {"folder.name"}


@pytest.mark.parametrize("pair", [("STRASSE", "straße"), ("Ørsta", "øRSTA"), ("caf\u00e9", "cafe\u0301"), ("Æ Å", "æ å"), ("a", "A")])
async def test_siblings_may_not_have_one_name_in_any_case_or_normal_form(stubs: Stubs, pair: tuple[str, str]) -> None:
    first, second = pair
    folder = await create_folder(stubs, first)
    answer = await refused(stubs.folders.CreateFolder(create(name=second)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "FOLDER_NAME_TAKEN")
    assert answer.metadata == {"parent_id": "0", "name": second}
    inside = await create_folder(stubs, second, parent_id=folder.id)
    assert (await refused(stubs.folders.MoveFolder(move(inside.id, 0)))).reason == "FOLDER_NAME_TAKEN"
    other = await create_folder(stubs, "other")
    assert (await refused(stubs.folders.UpdateFolder(update(id=other.id, name=second)))).reason == "FOLDER_NAME_TAKEN"
    assert (await stubs.folders.UpdateFolder(update(id=folder.id, name=second))).name == second


async def test_a_folder_that_does_not_exist_is_not_found_by_any_call(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Spring")
    calls = [
        stubs.folders.CreateFolder(create(name="a", parent_id=9)),
        stubs.folders.GetFolder(folder_service_pb2.GetFolderRequest(id=9)),
        stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(parent_id=9)),
        stubs.folders.UpdateFolder(update(id=9, name="a")),
        stubs.folders.MoveFolder(move(9, 0)),
        stubs.folders.MoveFolder(move(folder.id, 9)),
        stubs.folders.DeleteFolder(delete(9)),
    ]
    for call in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason, answer.metadata) == (grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND", {"id": "9"})


@on_one_database
async def test_ids_that_cannot_be_are_refused_with_their_paths(stubs: Stubs) -> None:
    calls = [
        (stubs.folders.GetFolder(folder_service_pb2.GetFolderRequest(id=0)), {"id"}),
        (stubs.folders.UpdateFolder(update("parent_id", id=-1, name="a")), {"folder.id", "update_mask"}),
        (stubs.folders.MoveFolder(move(0, -1)), {"id", "parent_id"}),
        (stubs.folders.DeleteFolder(delete(-(2**63)), metadata=[("trackedlinks-user-id", "x")]), {"id", "metadata.trackedlinks-user-id"}),
        (
            stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(parent_id=-1, page_size=-1, order_by="etag")),
            {"parent_id", "page_size", "order_by"},
        ),
    ]
    for call, fields in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields)


async def test_a_list_has_the_sub_folders_of_one_folder_or_of_the_root_or_all(stubs: Stubs) -> None:
    top = await create_folder(stubs, "b")
    await create_folder(stubs, "Å", parent_id=top.id)
    await create_folder(stubs, "A")
    assert await listed_folders(stubs) == ["A", "b", "Å"]
    assert await listed_folders(stubs, parent_id=0) == ["A", "b"]
    assert await listed_folders(stubs, parent_id=top.id) == ["Å"]
    assert await listed_folders(stubs, order_by="name desc") == ["Å", "b", "A"]
    assert await listed_folders(stubs, order_by="create_time") == ["b", "Å", "A"]
    await stubs.folders.UpdateFolder(update(id=top.id, description="new"))
    assert await listed_folders(stubs, order_by="update_time desc") == ["b", "A", "Å"]


async def test_pages_of_folders_follow_one_another_without_loss_or_repetition(stubs: Stubs) -> None:
    names = [f"{number:02}" for number in range(7)]
    for name in reversed(names):
        await create_folder(stubs, name)
    request = folder_service_pb2.ListFoldersRequest(page_size=3, parent_id=0)
    found: list[str] = []
    while True:
        response = await stubs.folders.ListFolders(request)
        found += [folder.name for folder in response.folders]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert found == names
    request.ClearField("parent_id")
    answer = await refused(stubs.folders.ListFolders(request))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


@on_one_database
async def test_a_page_of_long_folders_is_cut_to_what_clients_take(stubs: Stubs) -> None:
    for number in range(500):
        await create_folder(stubs, f"{number:03}" + "𐐨" * 252, description="𐐨" * 2047)
    request = folder_service_pb2.ListFoldersRequest(page_size=1000)
    first = await stubs.folders.ListFolders(request)
    request.page_token = first.next_page_token
    second = await stubs.folders.ListFolders(request)
    assert len(first.folders) < 500
    assert [folder.name[:3] for folder in [*first.folders, *second.folders]] == [f"{number:03}" for number in range(500)]


async def test_an_update_changes_what_the_mask_names_or_what_is_populated(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Spring", description="old")
    parent = await create_folder(stubs, "Parent")
    named = await stubs.folders.UpdateFolder(update("description", id=folder.id, name="ignored", description="new"))
    assert (named.name, named.description) == ("Spring", "new")
    populated = await stubs.folders.UpdateFolder(update(id=folder.id, name="Summer", parent_id=parent.id))
    assert (populated.name, populated.description, populated.parent_id) == ("Summer", "new", 0)
    cleared = await stubs.folders.UpdateFolder(update("description", id=folder.id))
    assert (cleared.name, cleared.description) == ("Summer", "")
    both = await stubs.folders.UpdateFolder(update("*", id=folder.id, name="Autumn", description="all"))
    assert (both.name, both.description, both.create_time) == ("Autumn", "all", folder.create_time)
    assert both.update_time.ToNanoseconds() > folder.update_time.ToNanoseconds()
    assert set((await refused(stubs.folders.UpdateFolder(update("*", id=folder.id, description="nameless")))).fields) == {"folder.name"}


async def test_an_update_that_changes_nothing_keeps_the_etag(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Spring")
    assert await stubs.folders.UpdateFolder(update("name", id=folder.id, name="Spring")) == folder
    assert await stubs.folders.UpdateFolder(update(id=folder.id)) == folder
    assert await stubs.folders.MoveFolder(move(folder.id, 0)) == folder


@on_one_database
@pytest.mark.parametrize("path", ["id", "parent_id", "create_time", "update_time", "etag", "nothing", "", "name.first", "* "])
async def test_a_mask_with_any_other_path_is_refused(stubs: Stubs, path: str) -> None:
    folder = await create_folder(stubs, "Spring")
    answer = await refused(stubs.folders.UpdateFolder(update("name", path, id=folder.id, name="Summer")))
    assert (answer.reason, set(answer.fields)) == ("INVALID_FIELD", {"update_mask"})
    assert await get_folder(stubs, folder.id) == folder


async def test_a_change_with_a_stale_etag_is_aborted_and_changes_nothing(stubs: Stubs) -> None:
    first = await create_folder(stubs, "Spring")
    current = await stubs.folders.UpdateFolder(update(id=first.id, name="Summer", etag=first.etag))
    assert current.etag != first.etag
    calls = [
        stubs.folders.UpdateFolder(update(id=first.id, name="Autumn", etag=first.etag)),
        stubs.folders.MoveFolder(move(first.id, 0, first.etag)),
        stubs.folders.DeleteFolder(delete(first.id, etag=first.etag)),
    ]
    for call in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert answer.metadata == {"id": str(first.id), "etag": current.etag}
    assert await get_folder(stubs, first.id) == current
    await stubs.folders.DeleteFolder(delete(first.id, etag=current.etag))


async def test_a_folder_moves_with_all_that_is_in_it(stubs: Stubs) -> None:
    a = await create_folder(stubs, "a")
    b = await create_folder(stubs, "b", parent_id=a.id)
    other = await create_folder(stubs, "other")
    await create_link(stubs, "inside", folder_id=b.id)
    moved = await stubs.folders.MoveFolder(move(a.id, other.id, a.etag))
    assert (moved.parent_id, moved.name) == (other.id, "a")
    assert moved.etag != a.etag
    assert await listed_links(stubs, folder_id=other.id, include_subfolders=True) == ["inside"]
    assert (await stubs.folders.MoveFolder(move(a.id, 0))).parent_id == 0
    assert await listed_links(stubs, folder_id=other.id, include_subfolders=True) == []


async def test_a_folder_cannot_be_moved_into_itself_or_below(stubs: Stubs) -> None:
    chain = [await create_folder(stubs, "0")]
    for name in "1234":
        chain.append(await create_folder(stubs, name, parent_id=chain[-1].id))
    for below in chain:
        answer = await refused(stubs.folders.MoveFolder(move(chain[0].id, below.id)))
        assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FOLDER_CYCLE")
    assert [(await get_folder(stubs, folder.id)).parent_id for folder in chain] == [0, *(folder.id for folder in chain[:-1])]
    assert (await stubs.folders.MoveFolder(move(chain[4].id, chain[0].id))).parent_id == chain[0].id


async def test_an_empty_folder_is_deleted_for_good_and_its_id_is_given_to_no_other(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Spring")
    await stubs.folders.DeleteFolder(delete(folder.id))
    assert (await refused(stubs.folders.DeleteFolder(delete(folder.id)))).reason == "FOLDER_NOT_FOUND"
    assert (await create_folder(stubs, "Spring")).id > folder.id


async def test_a_folder_that_holds_a_folder_or_a_link_is_not_deleted_without_force(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Spring")
    inside = await create_folder(stubs, "inside", parent_id=folder.id)
    answer = await refused(stubs.folders.DeleteFolder(delete(folder.id)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FOLDER_NOT_EMPTY")
    assert answer.metadata == {"id": str(folder.id), "folders": "1", "links": "0"}
    await stubs.folders.DeleteFolder(delete(inside.id))
    link = await create_link(stubs, folder_id=folder.id)
    assert (await refused(stubs.folders.DeleteFolder(delete(folder.id)))).metadata["links"] == "1"
    await delete_link(stubs, link.id)
    await stubs.folders.DeleteFolder(delete(folder.id))


async def test_deleted_links_do_not_hold_a_folder_and_can_be_undeleted_after_it_is_gone(stubs: Stubs) -> None:
    parent = await create_folder(stubs, "parent")
    for force in (False, True):
        folder = await create_folder(stubs, "folder", parent_id=parent.id)
        link = await create_link(stubs, f"deleted, force {force}", folder_id=folder.id)
        await delete_link(stubs, link.id)
        await stubs.folders.DeleteFolder(delete(folder.id, force))
        assert (await undelete_link(stubs, link.id)).folder_id == parent.id
    assert await listed_links(stubs, folder_id=parent.id) == ["deleted, force False", "deleted, force True"]
    at_root = await create_folder(stubs, "at the root")
    link = await create_link(stubs, folder_id=at_root.id)
    await delete_link(stubs, link.id)
    await stubs.folders.DeleteFolder(delete(at_root.id))
    assert (await undelete_link(stubs, link.id)).folder_id == 0


async def test_force_moves_links_and_folders_up_and_deletes_none_of_them(stubs: Stubs) -> None:
    parent = await create_folder(stubs, "parent")
    folder = await create_folder(stubs, "folder", parent_id=parent.id)
    inside = await create_folder(stubs, "inside", parent_id=folder.id)
    deeper = await create_folder(stubs, "deeper", parent_id=inside.id)
    link, deep_link = await create_link(stubs, folder_id=folder.id), await create_link(stubs, folder_id=deeper.id)
    await stubs.folders.DeleteFolder(delete(folder.id, force=True))
    moved, moved_link = await get_folder(stubs, inside.id), await get_link(stubs, link.id)
    assert (moved.parent_id, moved.name, moved_link.folder_id) == (parent.id, "inside", parent.id)
    assert inside.etag != moved.etag
    assert link.etag != moved_link.etag
    assert (await get_folder(stubs, deeper.id), await get_link(stubs, deep_link.id)) == (deeper, deep_link)
    assert (await refused(stubs.folders.GetFolder(folder_service_pb2.GetFolderRequest(id=folder.id)))).reason == "FOLDER_NOT_FOUND"


async def test_a_sub_folder_whose_name_is_taken_above_gets_a_number(stubs: Stubs) -> None:
    long = "x" * 255
    for name in ("Name", "NAME (2)", "straße", long):
        await create_folder(stubs, name)
    folder = await create_folder(stubs, "folder")
    for name in ("name", "Name (3)", "STRASSE", long, "free", "folder"):
        await create_folder(stubs, name, parent_id=folder.id)
    await stubs.folders.DeleteFolder(delete(folder.id, force=True))
    moved = ["name (4)", "Name (3)", "STRASSE (2)", "x" * 251 + " (2)", "free", "folder"]
    assert sorted(await listed_folders(stubs, parent_id=0)) == sorted(["Name", "NAME (2)", "straße", long, *moved])


async def test_the_same_request_id_makes_one_folder_and_is_refused_for_another_request(stubs: Stubs) -> None:
    first = await stubs.folders.CreateFolder(create(REQUEST_ID, name="Spring"))
    assert await stubs.folders.CreateFolder(create(REQUEST_ID.upper(), name="Spring")) == first
    assert await listed_folders(stubs) == ["Spring"]
    answer = await refused(stubs.folders.CreateFolder(create(REQUEST_ID, name="Summer")))
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_request_id_of_a_refused_request_can_be_used_again(stubs: Stubs) -> None:
    await create_folder(stubs, "Spring")
    assert (await refused(stubs.folders.CreateFolder(create(REQUEST_ID, name="spring")))).reason == "FOLDER_NAME_TAKEN"
    assert (await stubs.folders.CreateFolder(create(REQUEST_ID, name="Summer"))).name == "Summer"
