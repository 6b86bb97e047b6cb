"""ListLinks: folders, searches, orders and pages."""

import grpc
import pytest

from tests.support.databases import on_one_database
from tests.support.resources import by_user, create_folder, create_link, delete_link, listed_links
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import link_pb2, link_service_pb2


async def test_a_list_has_one_folder_with_or_without_what_lies_below_to_any_depth(stubs: Stubs) -> None:
    parent_id, chain = 0, []
    for depth in range(12):
        parent_id = (await create_folder(stubs, f"folder {depth}", parent_id=parent_id)).id
        chain.append(parent_id)
        await create_link(stubs, f"{depth:02}", folder_id=parent_id)
    await create_link(stubs, "root")
    below = [f"{depth:02}" for depth in range(12)]
    assert await listed_links(stubs) == [*below, "root"]
    assert await listed_links(stubs, folder_id=0) == ["root"]
    assert await listed_links(stubs, folder_id=0, include_subfolders=True) == [*below, "root"]
    assert await listed_links(stubs, folder_id=chain[4]) == ["04"]
    assert await listed_links(stubs, folder_id=chain[4], include_subfolders=True) == below[4:]
    assert await listed_links(stubs, include_subfolders=True) == [*below, "root"]
    answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(folder_id=999)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "FOLDER_NOT_FOUND")


async def test_mine_are_the_links_that_the_caller_made(stubs: Stubs) -> None:
    await create_link(stubs, "mine", user=5)
    await create_link(stubs, "theirs", user=6)
    await create_link(stubs, "nobody's")
    assert await listed_links(stubs, user=5, mine=True) == ["mine"]
    assert await listed_links(stubs, user=5) == ["mine", "nobody's", "theirs"]
    answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(mine=True)))
    assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {"mine"})


QUERIES = [
    ("ÆRLIG", ["Ærlig"]),
    ("ærlig", ["Ærlig"]),
    ("ØL", ["øl 100%"]),
    ("å", ["ÅSE"]),
    ("a\u030a", ["ÅSE"]),
    ("STRASSE", ["Straße"]),
    ("%", ["øl 100%"]),
    ("_", ["snake_case"]),
    ("/", ["Straße", "snake_case", "ÅSE", "Ærlig", "øl 100%"]),
    ("\\", []),
    ("A%B", []),
    ("EXAMPLE.com/KAKE", ["Ærlig"]),
    ("kake", ["Ærlig"]),
    ("nowhere", []),
    ("'; drop table link; --", []),
]


async def test_a_query_is_found_in_name_and_url_in_any_case_and_means_itself(stubs: Stubs) -> None:
    await create_link(stubs, "Ærlig", url="https://example.com/Kake")
    for name in ("øl 100%", "ÅSE", "Straße", "snake_case"):
        await create_link(stubs, name, url="https://example.com/other")
    await create_link(stubs, "text", custom_text=link_pb2.CustomText(html="<p>kake ærlig example.com/</p>"))
    for query, found in QUERIES:
        assert sorted(await listed_links(stubs, query=query)) == sorted(found), query


async def test_a_query_follows_an_edit_of_name_and_url(stubs: Stubs) -> None:
    link = await create_link(stubs, "before", url="https://example.com/before")
    change = link_pb2.Link(id=link.id, name="after", redirect=link_pb2.Redirect(url="https://example.com/after"))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    assert await listed_links(stubs, query="before") == []
    assert await listed_links(stubs, query="AFTER") == ["after"]


async def test_filters_are_joined_by_and(stubs: Stubs) -> None:
    folder = await create_folder(stubs, "folder")
    for name, user, folder_id in (
        ("a 1", 5, folder.id),
        ("a 2", 6, folder.id),
        ("a 3", 5, 0),
        ("b 4", 5, folder.id),
        ("a 5", 5, folder.id),
    ):
        link = await create_link(stubs, name, user=user, folder_id=folder_id)
    await delete_link(stubs, link.id)
    filters = {"folder_id": folder.id, "mine": True, "query": "A "}
    assert await listed_links(stubs, user=5, **filters) == ["a 1"]
    assert await listed_links(stubs, user=5, show_deleted=True, **filters) == ["a 1", "a 5"]


async def test_links_come_in_each_order_both_ways_and_ties_by_id(stubs: Stubs) -> None:
    made = [await create_link(stubs, name) for name in ("b", "A", "å", "a")]
    change = link_pb2.Link(id=made[1].id, custom_text=link_pb2.CustomText(html="later"))
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=change))
    orders = {
        "": ["A", "a", "b", "å"],
        "name": ["A", "a", "b", "å"],
        "name asc": ["A", "a", "b", "å"],
        "name desc": ["å", "b", "a", "A"],
        "create_time": ["b", "A", "å", "a"],
        "create_time desc": ["a", "å", "A", "b"],
        "update_time": ["b", "å", "a", "A"],
        "update_time desc": ["A", "a", "å", "b"],
    }
    for order_by, names in orders.items():
        assert await listed_links(stubs, order_by=order_by) == names, order_by


@on_one_database
@pytest.mark.parametrize("order_by", ["id", "name descending", "name,id", "name desc desc", " ", "NAME", "name; drop table link", "clicks"])
async def test_any_other_order_is_refused(stubs: Stubs, order_by: str) -> None:
    answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(order_by=order_by)))
    assert (answer.reason, set(answer.fields)) == ("INVALID_FIELD", {"order_by"})


@pytest.mark.parametrize("order_by", ["name", "name desc", "create_time", "create_time desc", "update_time desc"])
async def test_pages_lose_and_repeat_nothing_while_links_are_added(stubs: Stubs, order_by: str) -> None:
    expected = {f"{number % 5} old {number}" for number in range(23)}
    for name in sorted(expected):
        await create_link(stubs, name)
    request = link_service_pb2.ListLinksRequest(page_size=4, order_by=order_by)
    found: list[str] = []
    for added in range(100):
        response = await stubs.links.ListLinks(request)
        assert len(response.links) <= 4
        found += [link.name for link in response.links]
        if not response.next_page_token:
            break
        await create_link(stubs, f"{added % 5} new {added}")
        request.page_token = response.next_page_token
        request.page_size = 1 + added % 4
    assert len(found) == len(set(found))
    assert expected <= set(found)


async def test_a_page_that_ends_with_the_last_link_is_the_last(stubs: Stubs) -> None:
    for name in "abcd":
        await create_link(stubs, name)
    response = await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=4))
    assert (len(response.links), response.next_page_token) == (4, "")
    empty = await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(query="nothing"))
    assert empty == link_service_pb2.ListLinksResponse()


async def test_a_page_has_50_links_unless_told_and_1000_at_most(stubs: Stubs) -> None:
    for _ in range(3):
        drafts = [link_pb2.Link(name="a", redirect=link_pb2.Redirect(url="https://example.com"))] * 335
        await stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=drafts))
    for size, expected in ((0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)):
        assert len(await listed_links(stubs, page_size=size)) == expected


async def test_a_page_of_long_links_is_cut_to_what_clients_take(stubs: Stubs) -> None:
    text = link_pb2.CustomText(html="𐐨" * 32_768)
    for number in range(40):
        await create_link(stubs, f"{number:02}", custom_text=text)
    request, found = link_service_pb2.ListLinksRequest(page_size=1000), []
    while True:
        response = await stubs.links.ListLinks(request)
        assert response.ByteSize() < 4 * 1024 * 1024
        found += [link.name for link in response.links]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert found == [f"{number:02}" for number in range(40)]


@on_one_database
async def test_every_broken_rule_of_a_list_is_reported_at_once(stubs: Stubs) -> None:
    request = link_service_pb2.ListLinksRequest(folder_id=-1, mine=True, query="x" * 256, page_size=-1, order_by="id", page_token="x")
    answer = await refused(stubs.links.ListLinks(request))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(answer.fields) == {"folder_id", "mine", "query", "page_size", "order_by"}
    answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(query="\0", mine=True), metadata=by_user("x")))
    assert {"query", "metadata.trackedlinks-user-id"} <= set(answer.fields)
