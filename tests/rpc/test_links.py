"""LinkService: making, reading, moving, resetting, deleting and undeleting links; their lists and edits have files of their own."""

from typing import Any

import grpc
import pytest

from tests.support.crm import click, entry, mailing_with, mint
from tests.support.databases import on_one_database
from tests.support.resources import by_user, create_folder, create_link, delete_link, get_link, link_draft, listed_links, undelete_link
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, folder_service_pb2, link_pb2, link_service_pb2, mailing_pb2, mailing_service_pb2

REQUEST_ID = "0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a89"


def create(link: link_pb2.Link, request_id: str = "") -> link_service_pb2.CreateLinkRequest:
    return link_service_pb2.CreateLinkRequest(link=link, request_id=request_id)


def batch(*links: link_pb2.Link, request_id: str = "") -> link_service_pb2.BatchCreateLinksRequest:
    return link_service_pb2.BatchCreateLinksRequest(links=links, request_id=request_id)


def reset(link_id: int, etag: str = "", request_id: str = "") -> link_service_pb2.ResetLinkRequest:
    return link_service_pb2.ResetLinkRequest(id=link_id, etag=etag, request_id=request_id)


def move(*ids: int, folder_id: int = 0) -> link_service_pb2.MoveLinksRequest:
    return link_service_pb2.MoveLinksRequest(ids=ids, folder_id=folder_id)


def set_field(value: str = "yes", **fields: Any) -> link_pb2.LinkAction:
    return link_pb2.LinkAction(set_field=link_pb2.SetField(field="vip", value=value), **fields)


async def local_link(stubs: Stubs) -> int:
    """Makes a mailing that tracks all links; the id of the link in it."""
    registered = await create_link(stubs)
    mailing_id = await mailing_with(stubs, "March", registered.id)
    change = mailing_pb2.Mailing(id=mailing_id, track_all_links=True)
    await stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=change))
    html = b'<a href="https://example.com/local">here</a>'
    request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing_id, html=html)
    return int((await stubs.mailings.TrackMessage(request)).tracked[0].placement.link_id)


async def test_a_new_link_has_what_was_sent_and_what_the_server_sets(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "Campaigns")
    draft = link_draft("Vår 🌷", "https://example.com/a?b=%20#c", folder_id=folder.id, actions=[set_field(id=55), set_field("no")])
    draft.MergeFrom(link_pb2.Link(id=9, mailing_id=9, creator=9, updater=9, etag="x", counts=link_pb2.ClickCounts(clicks=9)))
    link = await stubs.links.CreateLink(create(draft), metadata=by_user(42))
    assert (link.name, link.redirect.url, link.folder_id) == ("Vår 🌷", "https://example.com/a?b=%20#c", folder.id)
    assert [action.set_field.value for action in link.actions] == ["yes", "no"]
    assert [action.id for action in link.actions] == [1, 2]
    assert (link.id, link.mailing_id, link.creator, link.updater, link.counts) == (1, 0, 42, 42, link_pb2.ClickCounts())
    assert link.create_time == link.update_time
    assert not link.HasField("delete_time")
    assert not link.HasField("last_reset_time")
    assert link == await get_link(stubs, link.id)


async def test_every_kind_of_action_comes_back_as_it_was_sent(stubs: Stubs) -> None:
    catalogs = ("INTEREST", "SELECTION", "PROJECT", "USER", "TASK_TYPE", "CATEGORY", "PRIORITY")
    ids = {name: await entry(stubs, crm_pb2.Catalog.Value(f"CATALOG_{name}"), name) for name in catalogs}
    follow_up = link_pb2.CreateFollowUp(
        type=link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, description="Ring {{recipient.name}}\nsoon", task_type_id=ids["TASK_TYPE"], duration=30,
        project_id=ids["PROJECT"], created_by=ids["USER"], default_recipient=ids["USER"], assign_to_our_contact=True, as_assignment=True,
    )  # fmt: skip
    follow_up.start_time.FromJsonString("2030-01-02T03:04:05.678901Z")
    service_request = link_pb2.CreateServiceRequest(
        title="Call",
        priority_id=ids["PRIORITY"],
        category_id=ids["CATEGORY"],
        owner=link_pb2.SERVICE_REQUEST_OWNER_USER,
        owner_id=ids["USER"],
    )
    kinds: list[dict[str, Any]] = [
        {"set_field": link_pb2.SetField(field="vip", value="")},
        {"interests": link_pb2.ChangeInterests(add=[ids["INTEREST"]])},
        {"selection": link_pb2.ChangeSelections(remove=[ids["SELECTION"], ids["SELECTION"]])},
        {"project": link_pb2.ChangeProjects(add=[ids["PROJECT"]])},
        {"follow_up": follow_up},
        {"service_request": service_request},
    ]
    actions = [
        link_pb2.LinkAction(repeat_policy=policy, **kind) for policy, kind in zip(link_pb2.RepeatPolicy.values() * 2, kinds, strict=False)
    ]
    link = await create_link(stubs, actions=actions)
    for sent, kept in zip(actions, link.actions, strict=True):
        sent.id = kept.id
        assert sent == kept


async def test_what_an_action_names_must_exist_and_each_path_that_does_not_is_reported(stubs: Stubs) -> None:
    interest = await entry(stubs, crm_pb2.CATALOG_INTEREST, "Golf")
    actions = [
        link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[interest, 98], remove=[99])),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[interest])),
        link_pb2.LinkAction(follow_up=link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_TASK, created_by=97, task_type_id=96)),
    ]
    answer = await refused(stubs.links.BatchCreateLinks(batch(link_draft(), link_draft(actions=actions))))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REFERENCE_NOT_FOUND")
    below = (
        "[0].interests.add[1]",
        "[0].interests.remove[0]",
        "[1].selection.add[0]",
        "[2].follow_up.task_type_id",
        "[2].follow_up.created_by",
    )
    assert set(answer.fields) == {f"links[1].actions{path}" for path in below}
    assert await listed_links(stubs) == []


async def test_a_batch_makes_its_links_in_order_or_none(stubs: Stubs) -> None:
    response = await stubs.links.BatchCreateLinks(batch(*(link_draft(str(number)) for number in range(500))))
    assert [link.name for link in response.links] == [str(number) for number in range(500)]
    assert [link.id for link in response.links] == sorted(link.id for link in response.links)
    broken = [link_draft(), link_draft(""), link_draft(url="ftp://example.com"), link_pb2.Link(name="a")]
    answer = await refused(stubs.links.BatchCreateLinks(batch(*broken, request_id="x"), metadata=by_user("-1")))
    paths = {"links[1].name", "links[2].redirect.url", "links[3].response", "request_id", "metadata.trackedlinks-user-id"}
    assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", paths)
    answer = await refused(stubs.links.BatchCreateLinks(batch(link_draft("made?"), link_draft(folder_id=9))))
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND")
    assert await listed_links(stubs, query="made?") == []


@on_one_database
@pytest.mark.parametrize("number", [0, 501])
async def test_a_batch_has_1_to_500_links(stubs: Stubs, number: int) -> None:
    assert set((await refused(stubs.links.BatchCreateLinks(batch(*[link_draft()] * number)))).fields) == {"links"}


async def test_the_same_request_id_makes_links_once_and_is_refused_for_another_request(stubs: Stubs) -> None:
    first = await stubs.links.CreateLink(create(link_draft("a"), REQUEST_ID))
    assert await stubs.links.CreateLink(create(link_draft("a"), REQUEST_ID.upper())) == first
    others = [
        stubs.links.CreateLink(create(link_draft("b"), REQUEST_ID)),
        stubs.links.BatchCreateLinks(batch(link_draft("a"), request_id=REQUEST_ID)),
        stubs.links.ResetLink(reset(first.id, request_id=REQUEST_ID)),
    ]
    for call in others:
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    some = batch(link_draft("c"), link_draft("d"), request_id=REQUEST_ID.replace("7f6a", "7f6b"))
    made = await stubs.links.BatchCreateLinks(some)
    assert await stubs.links.BatchCreateLinks(some) == made
    assert await listed_links(stubs) == ["a", "c", "d"]


async def test_links_are_read_in_the_order_asked_for_and_as_often(stubs: Stubs) -> None:
    a, b = await create_link(stubs, "a"), await create_link(stubs, "b")
    await delete_link(stubs, b.id)
    response = await stubs.links.BatchGetLinks(link_service_pb2.BatchGetLinksRequest(ids=[b.id, a.id, b.id]))
    assert [link.name for link in response.links] == ["b", "a", "b"]
    answer = await refused(stubs.links.BatchGetLinks(link_service_pb2.BatchGetLinksRequest(ids=[a.id, 98, 99])))
    assert (answer.code, answer.reason, answer.metadata) == (grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND", {"id": "98"})


@on_one_database
@pytest.mark.parametrize(("ids", "fields"), [([], {"ids"}), ([1] * 101, {"ids"}), ([1, 0, -1], {"ids[1]", "ids[2]"})])
async def test_a_batch_get_names_1_to_100_positive_ids(stubs: Stubs, ids: list[int], fields: set[str]) -> None:
    answer = await refused(stubs.links.BatchGetLinks(link_service_pb2.BatchGetLinksRequest(ids=ids)))
    assert (answer.code, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


async def test_a_link_that_does_not_exist_is_not_found_by_any_call(stubs: Stubs) -> None:
    calls = [
        stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=9)),
        stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=9, name="a"))),
        stubs.links.MoveLinks(move(9)),
        stubs.links.ResetLink(reset(9)),
        stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=9)),
        stubs.links.UndeleteLink(link_service_pb2.UndeleteLinkRequest(id=9)),
    ]
    for call in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason, answer.metadata) == (grpc.StatusCode.NOT_FOUND, "LINK_NOT_FOUND", {"id": "9"})


async def test_moving_counts_the_links_that_lie_elsewhere_now(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "folder")
    links = [await create_link(stubs, name) for name in "abc"]
    moved = await stubs.links.MoveLinks(move(links[0].id, links[1].id, links[0].id, folder_id=folder.id), metadata=by_user(5))
    assert moved.moved_count == 2
    assert await listed_links(stubs, folder_id=folder.id) == ["a", "b"]
    assert (await stubs.links.MoveLinks(move(*(link.id for link in links), folder_id=folder.id))).moved_count == 1
    now = await get_link(stubs, links[0].id)
    assert (now.folder_id, now.updater) == (folder.id, 5)
    assert now.etag != links[0].etag


async def test_a_move_moves_all_or_none(stubs: Stubs) -> None:
    folder, link, local = await create_folder(stubs, "folder"), await create_link(stubs), await local_link(stubs)
    answers = [
        await refused(stubs.links.MoveLinks(move(link.id, 99, folder_id=folder.id))),
        await refused(stubs.links.MoveLinks(move(link.id, folder_id=99))),
        await refused(stubs.links.MoveLinks(move(link.id, local, folder_id=folder.id))),
    ]
    assert [answer.reason for answer in answers] == ["LINK_NOT_FOUND", "FOLDER_NOT_FOUND", "LINK_IS_LOCAL"]
    assert answers[2].code == grpc.StatusCode.FAILED_PRECONDITION
    assert await get_link(stubs, link.id) == link
    answer = await refused(stubs.links.MoveLinks(move(0, folder_id=-1), metadata=by_user("x")))
    assert set(answer.fields) == {"ids[0]", "folder_id", "metadata.trackedlinks-user-id"}
    for ids in ([], [1] * 1001):
        assert set((await refused(stubs.links.MoveLinks(move(*ids)))).fields) == {"ids"}


async def test_a_reset_takes_the_figures_to_0_and_the_same_request_does_not_reset_again(stubs: Stubs) -> None:
    link = await create_link(stubs)
    await click(stubs, await mint(stubs, link.id, person_id=7))
    assert (await get_link(stubs, link.id)).counts == link_pb2.ClickCounts(clicks=1, clickers=1)
    first = await stubs.links.ResetLink(reset(link.id, link.etag, REQUEST_ID))
    assert first.counts == link_pb2.ClickCounts()
    assert first.HasField("last_reset_time")
    assert first.etag != link.etag
    await click(stubs, await mint(stubs, link.id, person_id=8))
    again = await stubs.links.ResetLink(reset(link.id, link.etag, REQUEST_ID))
    assert again.counts == link_pb2.ClickCounts(clicks=1, clickers=1)
    assert (again.etag, again.last_reset_time) == (first.etag, first.last_reset_time)
    assert (await stubs.links.ResetLink(reset(link.id))).counts == link_pb2.ClickCounts()


async def test_a_deleted_link_is_hidden_and_still_redirects_and_counts(stubs: Stubs) -> None:
    link = await create_link(stubs)
    token = await mint(stubs, link.id, person_id=7)
    deleted = await delete_link(stubs, link.id, link.etag)
    assert deleted.HasField("delete_time")
    assert await listed_links(stubs) == []
    assert await listed_links(stubs, show_deleted=True) == ["Spring"]
    assert await delete_link(stubs, link.id) == deleted
    assert (await click(stubs, token)).location == "https://example.com/spring"
    shown = await undelete_link(stubs, link.id, deleted.etag)
    assert (shown.counts.clicks, shown.HasField("delete_time")) == (1, False)
    assert await undelete_link(stubs, link.id) == shown
    assert await listed_links(stubs) == ["Spring"]


async def test_undeleting_shows_a_link_in_its_folder(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "folder")
    link = await create_link(stubs, folder_id=folder.id)
    await delete_link(stubs, link.id)
    assert (await undelete_link(stubs, link.id)).folder_id == folder.id
    await delete_link(stubs, link.id)
    await stubs.folders.DeleteFolder(folder_service_pb2.DeleteFolderRequest(id=folder.id))
    assert (await undelete_link(stubs, link.id)).folder_id == 0


async def test_a_local_link_is_neither_listed_nor_deleted_alone(stubs: Stubs) -> None:
    local = await local_link(stubs)
    assert (await get_link(stubs, local)).mailing_id > 0
    assert await listed_links(stubs) == ["Spring"]
    answer = await refused(delete_link(stubs, local))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LINK_IS_LOCAL")


async def test_a_change_with_a_stale_etag_is_aborted_and_changes_nothing(stubs: Stubs) -> None:
    stale = await create_link(stubs)
    current = await stubs.links.ResetLink(reset(stale.id))
    calls = [
        stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=stale.id, name="a", etag=stale.etag))),
        stubs.links.ResetLink(reset(stale.id, stale.etag)),
        delete_link(stubs, stale.id, stale.etag),
        undelete_link(stubs, stale.id, stale.etag),
    ]
    for call in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert answer.metadata == {"id": str(stale.id), "etag": current.etag}
    assert await get_link(stubs, stale.id) == current


async def test_clicks_never_change_the_etag(stubs: Stubs) -> None:
    link = await create_link(stubs)
    await click(stubs, await mint(stubs, link.id, person_id=7))
    now = await get_link(stubs, link.id)
    assert (now.counts.clicks, now.etag, now.update_time) == (1, link.etag, link.update_time)
