"""UpdateLink: what a field mask names is replaced, everything else stays, and actions keep their ids."""

from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from tests.support.crm import click, delete_entry, entry, mint
from tests.support.databases import on_one_database
from tests.support.resources import by_user, create_folder, create_link, get_link
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, link_pb2, link_service_pb2

TEXT = link_pb2.CustomText(html="<p>Thank you</p>")


def redirect(url: str) -> link_pb2.Redirect:
    return link_pb2.Redirect(url=url)


def set_field(value: str, **fields: Any) -> link_pb2.LinkAction:
    return link_pb2.LinkAction(set_field=link_pb2.SetField(field="vip", value=value), **fields)


def update(link_id: int, *paths: str, **fields: Any) -> link_service_pb2.UpdateLinkRequest:
    mask = field_mask_pb2.FieldMask(paths=paths)
    return link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=link_id, **fields), update_mask=mask)


async def test_without_a_mask_what_is_populated_changes(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "folder")
    link = await create_link(stubs, "before", actions=[set_field("kept")])
    changed = await stubs.links.UpdateLink(update(link.id, name="after", folder_id=folder.id, creator=9), metadata=by_user(7))
    assert (changed.name, changed.redirect, changed.actions, changed.folder_id) == ("after", link.redirect, link.actions, 0)
    assert (changed.creator, changed.updater, changed.create_time) == (0, 7, link.create_time)
    assert changed.update_time.ToNanoseconds() > link.update_time.ToNanoseconds()
    assert changed.etag != link.etag
    assert changed == await get_link(stubs, link.id)


async def test_a_mask_names_what_changes_and_nothing_else_does(stubs: Stubs) -> None:
    link = await create_link(stubs, "before", actions=[set_field("kept")])
    request = update(link.id, "redirect.url", name="ignored", redirect=redirect("https://example.com/new"))
    changed = await stubs.links.UpdateLink(request)
    assert (changed.name, changed.redirect.url, changed.actions) == ("before", "https://example.com/new", link.actions)


async def test_a_mask_with_a_star_replaces_all_that_a_caller_may_change(stubs: Stubs) -> None:
    link = await create_link(stubs, "before", actions=[set_field("gone")])
    changed = await stubs.links.UpdateLink(update(link.id, "*", name="after", custom_text=TEXT))
    assert (changed.name, changed.custom_text, changed.HasField("redirect"), list(changed.actions)) == ("after", TEXT, False, [])
    answer = await refused(stubs.links.UpdateLink(update(link.id, "*")))
    assert (answer.code, answer.reason, set(answer.fields)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        {"link.name", "link.response"},
    )


@pytest.mark.parametrize("paths", [(), ("custom_text",), ("custom_text.html",), ("redirect", "custom_text"), ("custom_text", "redirect")])
async def test_the_kind_of_response_can_change_and_the_old_one_goes(stubs: Stubs, paths: tuple[str, ...]) -> None:
    link = await create_link(stubs)
    changed = await stubs.links.UpdateLink(update(link.id, *paths, custom_text=TEXT))
    assert (changed.WhichOneof("response"), changed.custom_text) == ("custom_text", TEXT)
    swapped = tuple(path.replace("redirect", "x").replace("custom_text", "redirect").replace("x", "custom_text") for path in paths)
    back = await stubs.links.UpdateLink(
        update(link.id, *(path.replace(".html", ".url") for path in swapped), redirect=redirect("https://a.no"))
    )
    assert (back.WhichOneof("response"), back.redirect.url) == ("redirect", "https://a.no")


async def test_a_named_field_without_a_value_is_refused_where_one_is_required(stubs: Stubs) -> None:
    link = await create_link(stubs, actions=[set_field("yes")])
    for path, field in (("name", "link.name"), ("redirect", "link.response"), ("redirect.url", "link.redirect.url")):
        answer = await refused(stubs.links.UpdateLink(update(link.id, path, redirect=redirect("") if "." in path else None)))
        assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {field})
    assert await get_link(stubs, link.id) == link
    assert list((await stubs.links.UpdateLink(update(link.id, "actions"))).actions) == []


async def test_a_list_is_replaced_and_an_action_sent_back_keeps_its_id(stubs: Stubs) -> None:
    link = await create_link(stubs, actions=[set_field("a"), set_field("b")])
    a, b = link.actions
    changed = await stubs.links.UpdateLink(update(link.id, "actions", actions=[set_field("c"), set_field("changed", id=b.id)]))
    assert [action.set_field.value for action in changed.actions] == ["c", "changed"]
    assert changed.actions[1].id == b.id
    assert changed.actions[0].id not in (0, a.id, b.id)
    answer = await refused(stubs.links.UpdateLink(update(link.id, actions=[a])))
    assert set(answer.fields) == {"link.actions[0].id"}


async def test_an_action_id_that_is_not_this_links_or_of_this_kind_is_refused(stubs: Stubs) -> None:
    link, other = await create_link(stubs, actions=[set_field("a")]), await create_link(stubs, actions=[set_field("b")])
    mine, foreign = link.actions[0].id, other.actions[0].id
    follow_up = link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_TASK, assign_to_our_contact=True)
    actions = [
        set_field("x", id=foreign),
        link_pb2.LinkAction(id=mine, follow_up=follow_up),
        set_field("y", id=999),
        set_field("z"),
        set_field("z", id=2**63 - 1),
    ]
    answer = await refused(stubs.links.UpdateLink(update(link.id, actions=actions)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(answer.fields) == {f"link.actions[{index}].id" for index in (0, 1, 2, 4)}
    twice = await refused(stubs.links.UpdateLink(update(link.id, actions=[set_field("x", id=mine), set_field("y", id=mine)])))
    assert set(twice.fields) == {"link.actions[1].id"}
    assert await get_link(stubs, link.id) == link


@on_one_database
@pytest.mark.parametrize(
    "path",
    ["id", "folder_id", "mailing_id", "counts", "counts.clicks", "creator", "create_time", "updater", "update_time", "last_reset_time",
     "delete_time", "etag", "response", "nothing", "", "redirect.nothing", "redirect.url.more", "actions.id", "name ", "*"],
)  # fmt: skip
async def test_a_mask_with_any_other_path_is_refused(stubs: Stubs, path: str) -> None:
    link = await create_link(stubs)
    answer = await refused(stubs.links.UpdateLink(update(link.id, "name", path, name="after")))
    assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {"update_mask"})
    assert await get_link(stubs, link.id) == link


@on_one_database
async def test_every_broken_rule_of_an_update_is_reported_at_once(stubs: Stubs) -> None:
    answer = await refused(stubs.links.UpdateLink(update(0, "etag", name="a"), metadata=by_user("x")))
    assert set(answer.fields) == {"link.id", "update_mask", "metadata.trackedlinks-user-id"}
    link = await create_link(stubs)
    wrong = update(link.id, name="", redirect=redirect("javascript:alert(1)"), actions=[link_pb2.LinkAction(), set_field("x" * 2048)])
    wrong.update_mask.paths.append("*")
    answer = await refused(stubs.links.UpdateLink(wrong))
    assert set(answer.fields) == {"link.name", "link.redirect.url", "link.actions[0].kind", "link.actions[1].set_field.value"}


async def test_an_update_that_changes_nothing_keeps_the_etag(stubs: Stubs) -> None:
    link = await create_link(stubs, actions=[set_field("a")])
    assert await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link)) == link
    assert await stubs.links.UpdateLink(update(link.id)) == link


async def test_an_edit_is_seen_by_the_next_click_of_a_mail_already_out(stubs: Stubs) -> None:
    link = await create_link(stubs)
    token = await mint(stubs, link.id, person_id=7)
    assert (await click(stubs, token)).location == "https://example.com/spring"
    await stubs.links.UpdateLink(update(link.id, redirect=redirect("https://example.com/new")))
    assert (await click(stubs, token)).location == "https://example.com/new"


async def test_what_a_new_action_names_must_exist_but_what_stood_there_before_may_have_gone(stubs: Stubs) -> None:
    interest = await entry(stubs, crm_pb2.CATALOG_INTEREST, "Golf")
    link = await create_link(stubs, actions=[link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[interest]))])
    await delete_entry(stubs, interest)
    renamed = await stubs.links.UpdateLink(update(link.id, "name", "actions", name="still works", actions=link.actions))
    assert (renamed.name, renamed.actions) == ("still works", link.actions)
    selection = link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[interest]))
    answer = await refused(stubs.links.UpdateLink(update(link.id, actions=[*link.actions, selection])))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REFERENCE_NOT_FOUND")
    assert set(answer.fields) == {"link.actions[1].selection.add[0]"}
