"""Whatever is sent, the answer says what is wrong with it, and is never a defect of the server."""

import base64
from itertools import product
from typing import Any

import grpc
import pytest

from tests.support.databases import on_one_database
from tests.support.resources import by_user, create_folder, create_link, link_draft
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import folder_service_pb2, link_pb2, link_service_pb2

UNARY = [
    "FolderService/CreateFolder",
    "FolderService/ListFolders",
    "LinkService/CreateLink",
    "LinkService/UpdateLink",
    "LinkService/ListLinks",
    "LinkService/BatchGetLinks",
    "MailingService/CreateMailing",
    "ClickService/RecordClick",
    "CrmService/GetPerson",
    "EmbeddedCrmService/CreatePerson",
]
STREAMS = ["ClickService/RecordClicks", "MailingService/MintUrls", "MailingService/RenderMessages"]

NO_MESSAGE = [b"\xff", b"\x0a\x7fshort", b"\x08" + b"\xff" * 11, bytes(range(256))]
"""A tag cut off, a length beyond the end, an endless varint, and noise: malformed whatever the fields are."""


def create(link: link_pb2.Link) -> link_service_pb2.CreateLinkRequest:
    return link_service_pb2.CreateLinkRequest(link=link)


def raw(stubs: Stubs, method: str) -> Any:
    """A call that takes bytes and gives bytes."""
    return stubs.channel.unary_unary(f"/trackedlinks.v1.{method}")


async def fields_of(stubs: Stubs, link: link_pb2.Link) -> set[str]:
    """The fields for which a link is refused."""
    answer = await refused(stubs.links.CreateLink(create(link)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert all(answer.fields.values())
    return set(answer.fields)


@on_one_database
async def test_a_name_is_one_line_of_1_to_255_characters(stubs: Stubs) -> None:
    for name in ("", " \t", "x" * 256, "a\nb", "a\x00b", "\x7f", "\x85", "a\u2029b"):
        assert await fields_of(stubs, link_draft(name)) == {"link.name"}, name


async def test_255_characters_are_counted_as_characters_not_as_bytes(stubs: Stubs) -> None:
    assert (await create_link(stubs, "𐐨" * 255)).name == "𐐨" * 255


WRONG_URLS = ["", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "ftp://example.com", "//example.com", "example.com",
    "http:example.com", "https://user@example.com", "https://user:pass@example.com/", "https://@example.com", "https://example.com\n/",
    "java\tscript:alert(1)", "https://exa\tmple.com", " https://example.com", "https://example.com/\x00", "https://", "https:///path",
    "https://example.com\\@evil.no", "https://example.com:99999/", "https://[::1", "https://exa mple.com/", "mailto:a@example.com",
    "https://example.com/" + "x" * 3981]  # fmt: skip


@on_one_database
async def test_recipients_are_sent_to_http_and_https_only_and_to_no_url_that_reads_as_another(stubs: Stubs) -> None:
    for url in WRONG_URLS:
        assert await fields_of(stubs, link_draft(url=url)) == {"link.redirect.url"}, url


async def test_a_url_of_4000_characters_is_taken(stubs: Stubs) -> None:
    url = "https://example.com/" + "x" * 3980
    assert (await create_link(stubs, url=url)).redirect.url == url


@on_one_database
async def test_a_response_is_required_and_a_text_has_1_to_32768_characters(stubs: Stubs) -> None:
    assert await fields_of(stubs, link_pb2.Link(name="a")) == {"link.response"}
    assert await fields_of(stubs, link_pb2.Link()) == {"link.name", "link.response"}
    for html in ("", " ", "x" * 32_769, "a\x00"):
        assert await fields_of(stubs, link_draft(custom_text=link_pb2.CustomText(html=html))) == {"link.custom_text.html"}


@on_one_database
@pytest.mark.parametrize(
    ("action", "below"),
    [
        (link_pb2.LinkAction(), {".kind"}),
        (link_pb2.LinkAction(id=-1, set_field=link_pb2.SetField(field="a")), {".id"}),
        (link_pb2.LinkAction(set_field=link_pb2.SetField()), {".set_field.field"}),
        (link_pb2.LinkAction(set_field=link_pb2.SetField(field="a\0", value="b\0")), {".set_field.field", ".set_field.value"}),
        (link_pb2.LinkAction(interests=link_pb2.ChangeInterests()), {".interests"}),
        (link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[1, 2], remove=[2])), {".selection"}),
        (
            link_pb2.LinkAction(project=link_pb2.ChangeProjects(add=[0, 1, -1], remove=[-(2**63)])),
            {".project.add[0]", ".project.add[2]", ".project.remove[0]"},
        ),
        (link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=range(1, 102))), {".interests.add"}),
        (link_pb2.LinkAction(follow_up=link_pb2.CreateFollowUp()), {".follow_up.type"}),
        (link_pb2.LinkAction(follow_up=link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_TASK)), {".follow_up"}),
        (
            link_pb2.LinkAction(follow_up=link_pb2.CreateFollowUp(type=99, duration=10_081, created_by=-1, description="x" * 2048)),  # type: ignore[arg-type]
            {".follow_up.type", ".follow_up.duration", ".follow_up.created_by", ".follow_up.description"},
        ),
        (link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(owner_id=1)), {".service_request.title"}),
        (link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="a", owner_id=1)), {".service_request"}),
        (
            link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="a", owner=link_pb2.SERVICE_REQUEST_OWNER_USER)),
            {".service_request"},
        ),
        (link_pb2.LinkAction(repeat_policy=77, set_field=link_pb2.SetField(field="a")), {".repeat_policy"}),  # type: ignore[arg-type]
    ],
)  # fmt: skip
async def test_each_rule_of_an_action_is_reported_with_its_path(stubs: Stubs, action: link_pb2.LinkAction, below: set[str]) -> None:
    fine = link_pb2.LinkAction(set_field=link_pb2.SetField(field="a"))
    assert await fields_of(stubs, link_draft(actions=[fine, action])) == {f"link.actions[1]{path}" for path in below}


async def test_a_link_has_20_actions_at_most(stubs: Stubs) -> None:
    action = link_pb2.LinkAction(set_field=link_pb2.SetField(field="a"))
    assert len((await create_link(stubs, actions=[action] * 20)).actions) == 20
    assert await fields_of(stubs, link_draft(actions=[action] * 21)) == {"link.actions"}


@on_one_database
async def test_a_time_outside_the_years_1_to_9999_is_refused_with_every_other_violation(stubs: Stubs) -> None:
    for time in [(253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000), (2**63 - 1, 0), (-(2**63), 0)]:
        follow_up = link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_TASK, assign_to_our_contact=True, duration=-1)
        follow_up.start_time.seconds, follow_up.start_time.nanos = time
        fields = await fields_of(stubs, link_draft("", actions=[link_pb2.LinkAction(follow_up=follow_up)]))
        assert fields == {"link.name", "link.actions[0].follow_up.start_time", "link.actions[0].follow_up.duration"}, time


@pytest.mark.parametrize("seconds", [253_402_300_799, -62_135_596_800])
async def test_the_first_and_the_last_time_are_kept(stubs: Stubs, seconds: int) -> None:
    follow_up = link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_TASK, assign_to_our_contact=True)
    follow_up.start_time.seconds = seconds
    link = await create_link(stubs, actions=[link_pb2.LinkAction(follow_up=follow_up)])
    assert link.actions[0].follow_up.start_time.seconds == seconds


@on_one_database
async def test_of_100_violations_as_many_are_listed_as_clients_take_and_all_are_counted(stubs: Stubs) -> None:
    links = [link_pb2.Link(name="x" * 256, redirect=link_pb2.Redirect(url="https://example.com"))] * 100
    answer = await refused(stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=links)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert answer.message.endswith("(and 99 more)")
    assert len(answer.fields) > 60
    assert list(answer.fields) == [f"links[{index}].name" for index in range(len(answer.fields))]
    half = await refused(stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=links[:50])))
    assert len(half.fields) == 50


@on_one_database
async def test_a_user_is_a_positive_integer(stubs: Stubs) -> None:
    for user in ("0", "-1", "x", "", "1.0", "1e3", "9223372036854775808", "0" * 19 + "5" + "9" * 20, "9" * 5000):
        answer = await refused(stubs.links.CreateLink(create(link_draft()), metadata=by_user(user)))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"), user
        assert set(answer.fields) == {"metadata.trackedlinks-user-id"}


async def test_the_largest_user_is_kept(stubs: Stubs) -> None:
    assert (await create_link(stubs, user=2**63 - 1)).creator == 2**63 - 1


@on_one_database
async def test_a_request_id_is_a_uuid(stubs: Stubs) -> None:
    link = await create_link(stubs)
    for request_id in ("x", "0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a8", "0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a8g", "\0", " "):
        calls = [
            stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=link_draft(), request_id=request_id)),
            stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=link.id, request_id=request_id)),
        ]
        for call in calls:
            answer = await refused(call)
            assert (answer.code, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, {"request_id"}), request_id


@on_one_database
@pytest.mark.parametrize("number", [0, -1, -(2**63)])
async def test_an_id_is_positive(stubs: Stubs, number: int) -> None:
    calls = [
        (stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=number)), "id"),
        (stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=number, name="a"))), "link.id"),
        (stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=number)), "id"),
        (stubs.links.UndeleteLink(link_service_pb2.UndeleteLinkRequest(id=number)), "id"),
        (stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=number)), "id"),
        (stubs.folders.MoveFolder(folder_service_pb2.MoveFolderRequest(id=number)), "id"),
    ]
    for call, field in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {field})


async def test_the_largest_ids_are_looked_for_and_not_found(stubs: Stubs) -> None:
    largest = 2**63 - 1
    calls = [
        (stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=largest)), "LINK_NOT_FOUND"),
        (stubs.links.CreateLink(create(link_draft(folder_id=largest))), "FOLDER_NOT_FOUND"),
        (stubs.links.ListLinks(link_service_pb2.ListLinksRequest(folder_id=largest, include_subfolders=True)), "FOLDER_NOT_FOUND"),
        (stubs.folders.GetFolder(folder_service_pb2.GetFolderRequest(id=largest)), "FOLDER_NOT_FOUND"),
    ]
    for call, reason in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, reason)
    action = link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[largest]))
    assert (await refused(stubs.links.CreateLink(create(link_draft(actions=[action]))))).reason == "REFERENCE_NOT_FOUND"


@on_one_database
async def test_a_page_token_of_another_call_or_other_arguments_or_a_changed_one_is_refused(stubs: Stubs) -> None:
    for name in "abc":
        await create_folder(stubs, name)
        await create_link(stubs, name)
    token = (await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=1, query="e"))).next_page_token
    folder_token = (await stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(page_size=1))).next_page_token
    assert token
    assert folder_token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = [token[:at] + alphabet[(alphabet.index(token[at]) + 1) % 64] + token[at + 1 :] for at in range(len(token))]
    nested = base64.urlsafe_b64encode(b"x" * 16 + b"[" * 100_000).decode().rstrip("=")
    for wrong in [
        *changed,
        folder_token,
        token + "=",
        token + "!",
        token[:-1],
        f"{token[:5]}\n{token[5:]}",
        "x",
        "é",
        "\0",
        "AAAA" * 9,
        nested,
    ]:
        answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(query="e", page_token=wrong)))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"), wrong[:100]
    others: list[dict[str, Any]] = [
        {},
        {"query": "E"},
        {"query": "e", "show_deleted": True},
        {"query": "e", "order_by": "name"},
        {"query": "e", "folder_id": 0},
        {"query": "e", "include_subfolders": True},
    ]
    for other in others:
        answer = await refused(stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_token=token, **other)))
        assert answer.reason == "PAGE_TOKEN_INVALID", other
    assert (await stubs.links.ListLinks(link_service_pb2.ListLinksRequest(page_size=9, query="e", page_token=token))).links


async def test_an_etag_may_be_any_text_and_is_stale_then(stubs: Stubs) -> None:
    link = await create_link(stubs)
    for etag in ("x", "\0", "1 ", "01", "x" * 100_000, "🌷"):
        answer = await refused(stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=link.id, etag=etag)))
        assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


@on_one_database
async def test_a_message_beyond_4_mib_is_refused_and_one_below_is_judged(stubs: Stubs) -> None:
    answer = await refused(stubs.links.CreateLink(create(link_draft("x" * 5_000_000))))
    assert answer.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await fields_of(stubs, link_draft("x" * 4_000_000)) == {"link.name"}


@on_one_database
async def test_bytes_that_are_no_message_are_malformed(stubs: Stubs) -> None:
    for method, content in product(UNARY, NO_MESSAGE):
        answer = await refused(raw(stubs, method)(content))
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST"), (method, content)


@on_one_database
async def test_bytes_that_are_no_message_end_a_stream_as_malformed(stubs: Stubs) -> None:
    for method, content in product(STREAMS, NO_MESSAGE):
        call: Any = stubs.channel.stream_stream(f"/trackedlinks.v1.{method}")()
        await call.write(content)
        await call.done_writing()
        answer = await refused(call.read())
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST"), (method, content)


@on_one_database
async def test_text_that_is_no_utf_8_is_malformed(stubs: Stubs) -> None:
    draft = link_draft("name").SerializeToString().replace(b"name", b"na\xffe")
    content = b"\x0a" + bytes([len(draft)]) + draft
    answer = await refused(raw(stubs, "LinkService/CreateLink")(content))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_fields_that_this_version_does_not_know_are_ignored(stubs: Stubs) -> None:
    request = create(link_draft("newer")).SerializeToString() + b"\xfa\x3f\x03new"
    assert link_pb2.Link.FromString(await raw(stubs, "LinkService/CreateLink")(request)).name == "newer"


@on_one_database
async def test_a_list_that_is_far_too_long_is_refused_by_its_length(stubs: Stubs) -> None:
    actions = [link_pb2.LinkAction() for _ in range(200_000)]
    problem = await refused(stubs.links.CreateLink(create(link_draft(actions=actions))))
    assert "link.actions" in problem.fields
    update = link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=1))
    update.update_mask.paths.extend(["name"] * 101)
    assert list((await refused(stubs.links.UpdateLink(update))).fields) == ["update_mask"]
