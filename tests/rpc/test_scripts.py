"""ScriptService: scripts that parse, their versions, and what one decides when it is tried."""

from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from tests.support.campaign import Campaign
from tests.support.crm import click, mint
from tests.support.databases import on_one_database
from tests.support.resources import by_user, create_link
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, link_pb2, link_service_pb2, mailing_pb2, script_pb2, script_service_pb2

SOURCE = "returnUrl = 'https://example.com/' + str(linkHits)"
REQUEST_ID = "0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a89"
EVERYTHING = "print(custId, linkId, shipmentId, linkUrl, linkHits, repr(returnUrl))"
RECIPIENT = """for name in ('name', 'email', 'our_contact_id', 'extra_fields', 'interests', 'selections', 'projects'):
    print(name, repr(recipient[name]))"""


def draft(request_id: str = "", **fields: Any) -> script_service_pb2.CreateScriptRequest:
    script = script_pb2.Script(**{"name": "Twice", "source": SOURCE} | fields)
    return script_service_pb2.CreateScriptRequest(script=script, request_id=request_id)


def update(*paths: str, **fields: Any) -> script_service_pb2.UpdateScriptRequest:
    return script_service_pb2.UpdateScriptRequest(script=script_pb2.Script(**fields), update_mask=field_mask_pb2.FieldMask(paths=paths))


async def create(stubs: Stubs, name: str = "Twice", source: str = SOURCE, user: int = 0) -> script_pb2.Script:
    made: script_pb2.Script = await stubs.scripts.CreateScript(draft(name=name, source=source), metadata=by_user(user) if user else None)
    return made


async def get(stubs: Stubs, script_id: int, version: int = 0) -> script_pb2.Script:
    found: script_pb2.Script = await stubs.scripts.GetScript(script_service_pb2.GetScriptRequest(id=script_id, version=version))
    return found


async def tried(stubs: Stubs, source: str = "", script_id: int = 0, **fields: Any) -> script_service_pb2.TestScriptResponse:
    """What a script decides, a stored one where its id is given."""
    script = {"script_id": script_id} if script_id else {"source": source}
    response: script_service_pb2.TestScriptResponse = await stubs.scripts.TestScript(
        script_service_pb2.TestScriptRequest(**script, **fields)
    )
    return response


async def test_a_new_script_has_id_version_times_and_etag_of_the_server(stubs: Stubs) -> None:
    request = draft(description="Every\nsecond", id=77, version=9, creator=8, updater=8, etag="x")
    request.script.create_time.seconds = 1
    script = await stubs.scripts.CreateScript(request, metadata=by_user(7))
    assert (script.id, script.name, script.description, script.source) == (1, "Twice", "Every\nsecond", SOURCE)
    assert (script.version, script.creator, script.updater) == (1, 7, 7)
    assert script.etag not in ("", "x")
    assert script.create_time == script.update_time
    assert script.create_time.seconds > 1_700_000_000
    assert await get(stubs, script.id) == await get(stubs, script.id, 1) == script


async def test_every_broken_rule_of_a_new_script_is_reported_at_once(stubs: Stubs) -> None:
    request = draft("no uuid", name="a\tb", description="x" * 2048, source="x" * 32_769)
    answer = await refused(stubs.scripts.CreateScript(request, metadata=by_user("me")))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(answer.fields) == {
        "script.name",
        "script.description",
        "script.source",
        "request_id",
        "metadata.trackedlinks-user-id",
    }
    nothing = await refused(stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest()))
    assert set(nothing.fields) == {"script.name", "script.source"}
    assert (await create(stubs, "x" * 255, "#" + "x" * 32_767)).version == 1


@on_one_database
@pytest.mark.parametrize("source", ["returnUrl =", "if linkHits:\nreturnUrl = ''", "x = (", "returnUrl = 'https://example.com"])
async def test_a_script_that_does_not_parse_is_neither_made_nor_put_in_place_of_one_that_does(stubs: Stubs, source: str) -> None:
    script = await create(stubs)
    for call in (
        stubs.scripts.CreateScript(draft(name="Broken", source=source)),
        stubs.scripts.UpdateScript(update(id=script.id, source=source)),
    ):
        answer = await refused(call)
        assert (answer.code, answer.reason, set(answer.fields)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "SCRIPT_INVALID",
            {"script.source"},
        )
        assert answer.fields["script.source"].startswith("Line ")
    response = await stubs.scripts.ListScripts(script_service_pb2.ListScriptsRequest())
    assert list(response.scripts) == [script]


async def test_the_names_of_scripts_are_unique_in_any_case(stubs: Stubs) -> None:
    await create(stubs, "STRASSE")
    other = await create(stubs, "other")
    for call in (stubs.scripts.CreateScript(draft(name="straße")), stubs.scripts.UpdateScript(update(id=other.id, name="Straße"))):
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SCRIPT_NAME_TAKEN")
        assert answer.metadata["name"].casefold() == "strasse"


async def test_a_request_sent_twice_makes_one_script_and_its_id_serves_no_other(stubs: Stubs) -> None:
    script = await stubs.scripts.CreateScript(draft(REQUEST_ID))
    assert await stubs.scripts.CreateScript(draft(REQUEST_ID)) == script
    answer = await refused(stubs.scripts.CreateScript(draft(REQUEST_ID, description="other")))
    assert (answer.code, answer.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_changed_source_is_a_new_version_and_the_older_one_stays(stubs: Stubs) -> None:
    first = await create(stubs, user=3)
    second = await stubs.scripts.UpdateScript(update(id=first.id, source="2", name="Thrice", etag=first.etag), metadata=by_user(4))
    assert (second.version, second.source, second.name, second.creator, second.updater) == (2, "2", "Thrice", 3, 4)
    assert second.create_time == first.create_time
    assert second.update_time.ToNanoseconds() > first.update_time.ToNanoseconds()
    assert await get(stubs, first.id) == await get(stubs, first.id, 2) == second
    older = await get(stubs, first.id, 1)
    assert (older.version, older.source, older.updater, older.update_time) == (1, SOURCE, 3, first.update_time)
    assert (older.name, older.etag) == ("Thrice", second.etag)


async def test_another_name_or_description_is_no_new_version(stubs: Stubs) -> None:
    script = await create(stubs)
    renamed = await stubs.scripts.UpdateScript(update("name", "description", id=script.id, name="Other", description="why", source="2"))
    assert (renamed.version, renamed.name, renamed.description, renamed.source) == (1, "Other", "why", SOURCE)
    assert renamed.etag != script.etag
    assert await stubs.scripts.UpdateScript(update(id=script.id, name="Other")) == renamed
    replaced = await stubs.scripts.UpdateScript(update("*", id=script.id, name="New", source=SOURCE))
    assert (replaced.name, replaced.description, replaced.version) == ("New", "", 1)


async def test_a_change_with_a_stale_etag_is_aborted_and_changes_nothing(stubs: Stubs) -> None:
    first = await create(stubs)
    current = await stubs.scripts.UpdateScript(update(id=first.id, source="2", etag=first.etag))
    answer = await refused(stubs.scripts.UpdateScript(update(id=first.id, source="3", etag=first.etag)))
    assert (answer.code, answer.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert answer.metadata == {"id": str(first.id), "etag": current.etag}
    assert await get(stubs, first.id) == current


@on_one_database
@pytest.mark.parametrize("path", ["id", "version", "creator", "create_time", "update_time", "etag", "nothing", "source.x", ""])
async def test_a_mask_with_any_other_path_is_refused(stubs: Stubs, path: str) -> None:
    script = await create(stubs)
    answer = await refused(stubs.scripts.UpdateScript(update("name", path, id=script.id, name="Other")))
    assert (answer.reason, set(answer.fields)) == ("INVALID_FIELD", {"update_mask"})
    assert await get(stubs, script.id) == script


@on_one_database
async def test_a_change_that_breaks_a_rule_is_refused_with_its_path(stubs: Stubs) -> None:
    script = await create(stubs)
    calls = [
        (update("name", "source", id=script.id), {"script.name", "script.source"}),
        (update("*", id=script.id, source="x" * 32_769), {"script.name", "script.source"}),
        (update("etag", id=0), {"script.id", "update_mask"}),
    ]
    for request, fields in calls:
        answer = await refused(stubs.scripts.UpdateScript(request))
        assert (answer.reason, set(answer.fields)) == ("INVALID_FIELD", fields)


async def test_what_does_not_exist_is_not_found(stubs: Stubs) -> None:
    script = await create(stubs)
    calls = [
        (stubs.scripts.GetScript(script_service_pb2.GetScriptRequest(id=9)), "SCRIPT_NOT_FOUND"),
        (stubs.scripts.GetScript(script_service_pb2.GetScriptRequest(id=script.id, version=2)), "SCRIPT_NOT_FOUND"),
        (stubs.scripts.UpdateScript(update(id=9, name="a")), "SCRIPT_NOT_FOUND"),
        (stubs.scripts.TestScript(script_service_pb2.TestScriptRequest(script_id=9)), "SCRIPT_NOT_FOUND"),
        (stubs.scripts.TestScript(script_service_pb2.TestScriptRequest(source="1", link_id=9)), "LINK_NOT_FOUND"),
        (stubs.scripts.TestScript(script_service_pb2.TestScriptRequest(script_id=script.id, mailing_id=9)), "MAILING_NOT_FOUND"),
    ]
    for call, reason in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, reason)


@on_one_database
async def test_arguments_that_cannot_be_are_refused_with_their_paths(stubs: Stubs) -> None:
    test = script_service_pb2.TestScriptRequest
    recipient = mailing_pb2.Recipient
    calls = [
        (stubs.scripts.GetScript(script_service_pb2.GetScriptRequest(version=-1)), {"id", "version"}),
        (stubs.scripts.ListScripts(script_service_pb2.ListScriptsRequest(page_size=-1)), {"page_size"}),
        (stubs.scripts.TestScript(test(link_id=-1, mailing_id=-1)), {"script", "link_id", "mailing_id"}),
        (stubs.scripts.TestScript(test(script_id=0, recipient=recipient(email="nobody"))), {"script_id", "recipient.email"}),
        (stubs.scripts.TestScript(test(source="", recipient=recipient(person_id=-1))), {"source", "recipient.person_id"}),
        (stubs.scripts.TestScript(test(source="x" * 32_769)), {"source"}),
    ]
    for call, fields in calls:
        answer = await refused(call)
        assert (answer.code, answer.reason, set(answer.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields)


async def test_pages_of_scripts_follow_one_another_by_name(stubs: Stubs) -> None:
    names = ["A", "b", "C", "d", "Å"]
    for name in reversed(names):
        await create(stubs, name)
    request = script_service_pb2.ListScriptsRequest(page_size=2)
    found: list[str] = []
    while True:
        response = await stubs.scripts.ListScripts(request)
        found += [script.name for script in response.scripts]
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    assert found == names
    request.page_token = "x"
    answer = await refused(stubs.scripts.ListScripts(request))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_page_of_long_scripts_is_cut_to_what_clients_take(stubs: Stubs) -> None:
    for number in range(40):
        await create(stubs, f"{number:02}", "#" + "𐐨" * 32_767)
    request = script_service_pb2.ListScriptsRequest(page_size=1000)
    first = await stubs.scripts.ListScripts(request)
    request.page_token = first.next_page_token
    second = await stubs.scripts.ListScripts(request)
    assert len(first.scripts) < 40
    assert [script.name for script in [*first.scripts, *second.scripts]] == [f"{number:02}" for number in range(40)]


async def test_a_source_is_tried_without_being_stored(stubs: Stubs) -> None:
    answer = await tried(stubs, "print('Hello')\nprint(linkHits)\nreturnUrl = 'https://example.com/æ ø'")
    assert (answer.return_url, answer.log.strip(), answer.problem) == ("https://example.com/æ ø", "Hello\n1", "")
    assert not (await stubs.scripts.ListScripts(script_service_pb2.ListScriptsRequest())).scripts


async def test_of_a_stored_script_the_newest_version_is_tried(stubs: Stubs) -> None:
    script = await create(stubs)
    assert (await tried(stubs, script_id=script.id)).return_url == "https://example.com/1"
    await stubs.scripts.UpdateScript(update(id=script.id, source="pass"))
    assert (await tried(stubs, script_id=script.id)).return_url == ""


async def test_without_link_and_recipient_a_script_reads_zeros_and_nothing(stubs: Stubs) -> None:
    assert (await tried(stubs, EVERYTHING)).log.strip() == "0 0 0  1 ''"
    assert (await tried(stubs, RECIPIENT)).log.splitlines() == [
        "name ''",
        "email ''",
        "our_contact_id 0",
        "extra_fields {}",
        "interests []",
        "selections []",
        "projects []",
    ]


async def test_a_script_reads_link_mailing_and_the_clicks_with_this_one(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link, mailing = await campaign.link(url="https://example.com/a b?x=1"), await campaign.mailing()
    fields = {"link_id": link.id, "mailing_id": mailing.id}
    assert (await tried(stubs, EVERYTHING, **fields)).log.strip() == f"0 {link.id} {mailing.id} https://example.com/a b?x=1 1 ''"
    for _ in range(2):
        await click(stubs, await mint(stubs, link.id))
    assert (await tried(stubs, "print(linkHits)", **fields)).log.strip() == "3"
    assert await campaign.counts(link.id) == (2, 0, 0), "trying a script counts nothing"


async def test_the_url_of_a_form_is_read_as_stored_and_a_text_has_none(stubs: Stubs) -> None:
    text = await create_link(stubs, "Text", custom_text=link_pb2.CustomText(html="<p>Thanks</p>"))
    draft = link_pb2.Link(name="Form", form=link_pb2.Form(url="https://example.com/?e={{recipient.email}}"))
    form = await stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
    assert (await tried(stubs, "print(linkUrl)", link_id=form.id)).log.strip() == "https://example.com/?e={{recipient.email}}"
    assert (await tried(stubs, "print(repr(linkUrl))", link_id=text.id)).log.strip() == "''"


async def test_a_script_reads_the_card_of_a_person(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    catalogs = ("USER", "INTEREST", "SELECTION", "PROJECT")
    ids = {catalog: await campaign.entry(catalog, catalog) for catalog in catalogs}
    lists = {
        field: [crm_pb2.NamedReference(id=ids[catalog])]
        for field, catalog in (("interests", "INTEREST"), ("selections", "SELECTION"), ("projects", "PROJECT"))
    }
    card: dict[str, Any] = {"email": "kari@example.com", "our_contact_id": ids["USER"], "extra_fields": {"size": "M"}}
    person = await campaign.person("Kari", **card, **lists)
    recipient = mailing_pb2.Recipient(person_id=person, name="ignored")
    assert (await tried(stubs, RECIPIENT, recipient=recipient)).log.splitlines() == [
        "name 'Kari'",
        "email 'kari@example.com'",
        f"our_contact_id {ids['USER']}",
        "extra_fields {'size': 'M'}",
        f"interests [{ids['INTEREST']}]",
        f"selections [{ids['SELECTION']}]",
        f"projects [{ids['PROJECT']}]",
    ]
    assert (await tried(stubs, "print(custId)", recipient=recipient)).log.strip() == str(person)


async def test_of_an_address_a_script_reads_the_address_and_no_person(stubs: Stubs) -> None:
    source = "print(custId, recipient['email'], repr(recipient['name']))"
    answer = await tried(stubs, source, recipient=mailing_pb2.Recipient(email="ola@example.com", name="Ola"))
    assert answer.log.strip() == "0 ola@example.com ''"


async def test_a_person_whom_the_crm_does_not_know_has_an_id_and_no_card(stubs: Stubs) -> None:
    answer = await tried(stubs, "print(custId, recipient['interests'])", recipient=mailing_pb2.Recipient(person_id=77))
    assert (answer.log.strip(), answer.problem) == ("77 []", "")


@on_one_database
@pytest.mark.parametrize(
    ("recipient", "problem"),
    [
        (mailing_pb2.Recipient(email="ola@example.com", test=True), "The recipient is a test"),
        (mailing_pb2.Recipient(email="ola@example.com", do_not_track=True), "The recipient does not want to be tracked"),
    ],
)
async def test_no_script_runs_for_whom_no_action_runs(stubs: Stubs, recipient: mailing_pb2.Recipient, problem: str) -> None:
    answer = await tried(stubs, "print('ran')", recipient=recipient)
    assert (answer.return_url, answer.log, answer.problem) == ("", "", problem)


@on_one_database
@pytest.mark.parametrize("source", ["1 / 0", "returnUrl =", "nothing_of_this_name", "while True: pass", "import os", "open('/etc/passwd')"])
async def test_a_script_that_fails_is_told_with_its_problem_and_sends_nobody_anywhere(stubs: Stubs, source: str) -> None:
    answer = await tried(stubs, f"returnUrl = 'https://example.com/'\n{source}")
    assert answer.problem
    assert answer.return_url == ""


@on_one_database
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//example.com",
        "example.com",
        "https://user@example.com",
        "https://example.com\\\\@evil.no",
        " ",
    ],
)
async def test_a_return_url_that_is_no_web_address_is_a_problem_that_names_it(stubs: Stubs, url: str) -> None:
    answer = await tried(stubs, f"print('chosen')\nreturnUrl = '{url}'")
    assert (answer.return_url, answer.log.strip()) == ("", "chosen")
    assert answer.problem.startswith("returnUrl is no web address: must ")


@on_one_database
async def test_a_return_url_is_text_of_at_most_4000_characters(stubs: Stubs) -> None:
    url = "https://example.com/" + "x" * 3980
    answer = await tried(stubs, f"returnUrl = '{url}'")
    assert (answer.return_url, answer.problem) == (url, "")
    for wrong in (f"'{url}x'", "7", "None", "['https://example.com/']"):
        answer = await tried(stubs, f"returnUrl = {wrong}")
        assert answer.return_url == ""
        assert answer.problem.startswith("returnUrl ")
