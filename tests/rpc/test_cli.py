"""The `trackedlinks` command and the connection beneath it, against a real server."""

import asyncio
import email
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import grpc
import pytest
from google.protobuf import json_format
from typer.testing import CliRunner, Result
from uuid_utils import uuid7

from tests.support.cli import done, made, refused, rows_of, run
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    click_pb2,
    click_service_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)
from trackedlinks_client import CallRefused, connect
from trackedlinks_client.cli import app
from trackedlinks_client.messages import Rendered, Renderer, fields_of, urls_of
from trackedlinks_client.minting import minted
from trackedlinks_client.people import People, Row

MAILS = Path(__file__).parent.parent / "mails"
HTML = b'<p>Hi {{name}}, <a href="https://example.com/a?x=1&amp;y=2">read</a>\n<a href="mailto:a@b.no">write</a></p>\n'


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite alone: what the commands call is proven on both databases by the tests of each service."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.db')}"


async def click(stubs: Stubs, url: str) -> str:
    """Where a click on a tracked URL leads."""
    request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.strip().rpartition("/")[2])
    return str((await stubs.clicks.RecordClick(request)).location)


async def test_a_link_is_made_shown_changed_and_found(stubs: Stubs) -> None:
    link = await made(stubs, "link", "create", "Spring", "--url", "https://example.com/a b", user=7)
    shown = await done(stubs, "link", "show", link)
    assert f"{link} Spring" in shown
    assert "https://example.com/a b" in shown
    assert "0 clicks, 0 clickers, 0 suspected" in shown
    assert "by user 7" in shown
    await done(stubs, "link", "update", link, "--name", "Summer", "--text", "<p>Thanks</p>")
    assert rows_of(await done(stubs, "link", "list", "--query", "SUMM")) == [[str(link), "0", "Summer", *"0000", "text:", "<p>Thanks</p>"]]
    assert await done(stubs, "link", "list", "--mine", user=8) == "no links\n"


async def test_an_update_leaves_what_it_does_not_name(stubs: Stubs) -> None:
    link = await made(stubs, "link", "create", "Spring", "--url", "https://example.com/", "--set-field", "a=b")
    after = link_pb2.Link()
    json_format.Parse(await done(stubs, "link", "update", link, "--url", "https://example.com/new", "--json"), after)
    assert (after.name, after.redirect.url, len(after.actions)) == ("Spring", "https://example.com/new", 1)


async def test_a_deleted_link_is_hidden_until_it_is_undeleted(stubs: Stubs) -> None:
    link = await made(stubs, "link", "create", "Spring", "--url", "https://example.com/")
    assert "(deleted)" in await done(stubs, "link", "delete", link)
    assert await done(stubs, "link", "list") == "no links\n"
    assert "Spring (deleted)" in await done(stubs, "link", "list", "--deleted")
    assert "(deleted)" not in await done(stubs, "link", "undelete", link)


async def test_json_lines_are_the_contract_and_name_every_field(stubs: Stubs) -> None:
    for name in ("A", "Blåbær"):
        await done(stubs, "link", "create", name, "--url", "https://example.com/")
    lines = (await done(stubs, "link", "list", "--json")).splitlines()
    links = [json_format.Parse(line, link_pb2.Link()) for line in lines]
    assert [link.name for link in links] == ["A", "Blåbær"]
    assert json.loads(lines[0])["counts"] == {"clicks": "0", "clickers": "0", "suspected": "0"}


async def test_more_links_than_fit_on_a_page_are_all_listed(stubs: Stubs) -> None:
    for number in range(3):
        links = [link_pb2.Link(name=f"{number}.{index}", redirect=link_pb2.Redirect(url="https://example.com")) for index in range(500)]
        await stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=links))
    assert len((await done(stubs, "link", "list", "--json")).splitlines()) == 1500


async def test_every_option_for_actions_becomes_an_action_told_in_words(stubs: Stubs, tmp_path: Path) -> None:
    names = ("user", "interest", "selection", "project", "category", "priority")
    ids = {name: await made(stubs, "crm", "add", name, name.title()) for name in names}
    more = tmp_path / "more.json"
    more.write_text('[{"repeatPolicy": "REPEAT_POLICY_ONCE_PER_RECIPIENT", "set_field": {"field": "size"}}]')
    options = [
        *("--set-field", "colour=red=green", "--add-interest", ids["interest"], "--remove-selection", ids["selection"]),
        *("--add-project", ids["project"], "--follow-up", "phone-call:Call: now", "--our-contact", "--follow-up-user", ids["user"]),
        *("--follow-up-project", ids["project"], "--service-request", "Book", "--category", ids["category"], "--priority", ids["priority"]),
        *("--owner", ids["user"], "--actions", more),
    ]
    shown = await done(stubs, "link", "create", "Spring", "--url", "https://example.com/", *options)
    assert [line.split(": ", 1)[1] for line in shown.splitlines() if line.startswith("action")] == [
        "set 'colour' to 'red=green'",
        f"add interest {ids['interest']}",
        f"remove selection {ids['selection']}",
        f"add project {ids['project']}",
        f"make a phone call for our contact or else user {ids['user']} in project {ids['project']}: Call: now",
        f"make a service request 'Book' in category {ids['category']} with priority {ids['priority']} owned by user {ids['user']}",
        "clear 'size', once per recipient",
    ]


async def test_actions_that_were_shown_can_be_sent_back(stubs: Stubs, tmp_path: Path) -> None:
    link = json.loads(
        await done(stubs, "link", "create", "S", "--url", "https://example.com/", "--set-field", "a=b", "--set-field", "c=d", "--json")
    )
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(link["actions"][1:]))
    after = json.loads(await done(stubs, "link", "update", link["id"], "--actions", kept, "--json"))
    assert after["actions"] == link["actions"][1:]
    kept.write_text("[]")
    assert json.loads(await done(stubs, "link", "update", link["id"], "--actions", kept, "--json"))["actions"] == []


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"nonsense": 1}]', "nonsense", "\ud800"])
async def test_a_file_that_holds_no_actions_is_told_with_its_name(stubs: Stubs, tmp_path: Path, content: str) -> None:
    path = tmp_path / "actions.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    lines = await refused(stubs, "link", "create", "S", "--url", "https://example.com/", "--actions", path)
    assert lines[0].startswith(f"{path}: ")
    assert await done(stubs, "link", "list") == "no links\n"


async def test_a_text_comes_from_a_file_or_from_the_command_line(stubs: Stubs, tmp_path: Path) -> None:
    path = tmp_path / "thanks.html"
    path.write_text("<p>Takk på øya</p>")
    assert "<p>Takk på øya</p>" in await done(stubs, "link", "create", "A", "--text", path)
    assert "<p>Thanks</p>" in await done(stubs, "link", "create", "B", "--text", "<p>Thanks</p>")
    assert await refused(stubs, "link", "create", "C", "--text", tmp_path / "missing.html") == [
        f"{tmp_path / 'missing.html'}: there is no such file"
    ]


async def test_every_violation_is_told_on_its_own_line(stubs: Stubs) -> None:
    lines = await refused(stubs, "link", "create", "", "--url", "javascript:x", "--set-field", "=x")
    assert [line.split(":")[0] for line in lines] == ["link.name", "link.redirect.url", "link.actions[0].set_field.field"]
    assert await refused(stubs, "link", "show", 77) == ["there is no link 77"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("link", "create", "S"),
        ("link", "create", "S", "--url", "https://example.com", "--text", "x"),
        ("link", "create", "S", "--url", "https://example.com", "--set-field", "colour"),
        ("link", "create", "S", "--url", "https://example.com", "--follow-up", "lunch:x"),
        ("link", "create", "S", "--url", "https://example.com", "--our-contact"),
        ("link", "create", "S", "--url", "https://example.com", "--owner", "automatic"),
        ("link", "create", "S", "--url", "https://example.com", "--service-request", "x", "--owner", "me"),
        ("link", "create", "S", "--url", "https://example.com", "--webhook", "https://example.com"),
        ("link", "create", "S", "--url", "https://example.com", "--webhook-secret", "whsec_x"),
        ("link", "update", "1"),
        ("link", "url", "1", "--person", "1", "--email", "a@b.no"),
        ("link", "show", "one"),
        ("folder", "list", "--all", "--parent", "1"),
        ("mailing", "create", "S", "--ga-campaign", "x"),
        ("clickers",),
        ("clicks",),
        ("crm", "list", "nonsense"),
        ("script", "create", "S"),
        ("script", "update", "1"),
        ("script", "test"),
        ("script", "test", "1", "--file", "missing.py"),
        ("script", "test", "1", "--person", "1", "--email", "a@b.no"),
        ("send", MAILS / "spring.html", "--to", "missing.csv", "--out", "missing", "--subject", "two\nlines"),
        ("send", MAILS / "spring.html", "--to", "missing.csv", "--out", "missing", "--from", "nobody"),
        ("send", MAILS / "spring.txt", "--text", MAILS / "spring.txt", "--to", "missing.csv", "--out", "missing"),
        ("send", "people.csv", "--to", "missing.csv", "--out", "missing"),
        ("--user", "-1", "link", "list"),
    ],
)
async def test_wrong_usage_is_exit_status_2_and_calls_nobody(stubs: Stubs, arguments: tuple[object, ...]) -> None:
    result = await run(stubs, *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert await done(stubs, "link", "list") == "no links\n"


def test_a_server_that_is_not_running_is_told_with_how_to_start_it() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(app, ["link", "list"], env={"TRACKEDLINKS_ADDRESS": address})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"no server answers at {address}: `make run` starts one")


async def test_a_text_of_several_lines_is_one_row_of_a_list_with_its_brackets(stubs: Stubs) -> None:
    await done(stubs, "link", "create", "[red]x", "--text", "<p>\n[bold]</p>")
    assert rows_of(await done(stubs, "link", "list")) == [["1", "0", "[red]x", *"0000", "text:", "<p>", "[bold]</p>"]]


async def test_a_url_outside_a_mailing_is_a_persons_an_addresses_or_nobodys(stubs: Stubs) -> None:
    link = await made(stubs, "link", "create", "S", "--url", "https://example.com/s")
    for who in ((), ("--person", 7), ("--email", "ola@example.com")):
        assert await click(stubs, await done(stubs, "link", "url", link, *who)) == "https://example.com/s"
    assert "3 clicks, 2 clickers, 0 suspected" in await done(stubs, "link", "show", link)
    assert (await refused(stubs, "link", "url", link, "--email", "nope"))[0].startswith("email: ")
    assert await refused(stubs, "link", "url", 77) == ["there is no link 77"]


async def test_clickers_and_clicks_are_listed_and_a_reset_forgets_them(stubs: Stubs) -> None:
    link = await made(stubs, "link", "create", "S", "--url", "https://example.com/s", "--set-field", "a=b")
    url = await done(stubs, "link", "url", link, "--email", "ola@example.com")
    await click(stubs, url)
    await click(stubs, url)
    assert rows_of(await done(stubs, "clickers", "--link", link))[0][:2] == ["ola@example.com", "2"]
    assert [json.loads(line)["clicks"] for line in (await done(stubs, "clickers", "--link", link, "--json")).splitlines()] == ["2"]
    listed = await done(stubs, "clicks", "--link", link, "--verdict", "human")
    assert len(rows_of(listed)) == 2
    assert "skipped: " in listed
    assert await done(stubs, "clicks", "--link", link, "--verdict", "head") == "no clicks\n"
    assert "0 clicks, 0 clickers, 0 suspected" in await done(stubs, "link", "reset", link)
    assert await done(stubs, "clickers", "--link", link) == "no clickers\n"


async def test_folders_are_made_listed_renamed_moved_and_deleted(stubs: Stubs) -> None:
    top, below = await made(stubs, "folder", "create", "Top"), await made(stubs, "folder", "create", "Other")
    assert await done(stubs, "folder", "move", below, top) == f"folder {below}: Other (in folder {top})\n"
    assert await done(stubs, "folder", "rename", below, "Below") == f"folder {below}: Below (in folder {top})\n"
    assert rows_of(await done(stubs, "folder", "list")) == [[str(top), "0", "Top"]]
    assert rows_of(await done(stubs, "folder", "list", "--parent", top)) == [[str(below), str(top), "Below"]]
    assert len(rows_of(await done(stubs, "folder", "list", "--all"))) == 2
    link = await made(stubs, "link", "create", "S", "--url", "https://example.com/", "--folder", below)
    assert await done(stubs, "link", "list", "--folder", top) == "no links\n"
    assert len(rows_of(await done(stubs, "link", "list", "--folder", top, "--subfolders"))) == 1
    assert len(await refused(stubs, "folder", "delete", below)) == 1
    assert await done(stubs, "folder", "delete", below, "--force") == f"folder {below} is deleted\n"
    assert rows_of(await done(stubs, "link", "list", "--folder", top))[0][0] == str(link)
    assert await done(stubs, "link", "move", link, "--folder", 0) == "1 moved\n"


async def test_a_mailing_is_made_listed_and_told_how_many_were_delivered(stubs: Stubs) -> None:
    options = ("--ga-source", "spring", "--ga-campaign", "apr", "--public-url", "https://t.example", "--language", "nb", "--test")
    mailing = await made(stubs, "mailing", "create", "Spring", *options)
    shown = await done(stubs, "mailing", "delivered", mailing, 4)
    for expected in ("Spring (test)", "all links", "medium email, source spring, campaign apr", "https://t.example", "nb", "0.0 %"):
        assert expected in shown
    assert rows_of(await done(stubs, "mailing", "list"))[0][:3] == [str(mailing), "Spring", "(test)"]
    assert await done(stubs, "mailing", "links", mailing) == "no links\n"
    assert json.loads(await done(stubs, "mailing", "show", mailing, "--json"))["deliveredCount"] == "4"


async def test_persons_and_entries_of_the_embedded_crm_are_made_and_listed(stubs: Stubs) -> None:
    user = await made(stubs, "crm", "add", "user", "Kari")
    await made(stubs, "crm", "add", "task-type", "Lunch")
    person = await made(stubs, "crm", "add-person", "Ola", "--email", "ola@example.com", "--our-contact", user)
    assert rows_of(await done(stubs, "crm", "list", "user")) == [[str(user), "Kari"]]
    assert rows_of(await done(stubs, "crm", "persons")) == [[str(person), "Ola", "ola@example.com", str(user)]]
    assert len(await refused(stubs, "crm", "add", "user", "KARI")) == 1


async def test_what_a_click_made_happen_stands_on_the_card(stubs: Stubs) -> None:
    user, interest = await made(stubs, "crm", "add", "user", "Kari"), await made(stubs, "crm", "add", "interest", "Gardens")
    person = await made(stubs, "crm", "add-person", "Ola", "--our-contact", user)
    actions = (
        "--set-field",
        "colour=red",
        "--add-interest",
        interest,
        "--follow-up",
        "task:Call",
        "--our-contact",
        "--service-request",
        "Book",
    )
    link = await made(stubs, "link", "create", "S", "--url", "https://example.com/s", *actions, "--service-request", "Book")
    await click(stubs, await done(stubs, "link", "url", link, "--person", person))
    card = await done(stubs, "person", person)
    for expected in (f"{person} Ola", "red", f"Gardens ({interest})", f"Call (task for user {user}", "Book (marketing link"):
        assert expected in card
    assert len((await done(stubs, "person", person, "--json")).splitlines()) == 3
    assert len(await refused(stubs, "person", 99)) == 1


def mail_in(path: Path) -> EmailMessage:
    return email.message_from_bytes(path.read_bytes(), policy=SMTP)


def content_of(path: Path) -> bytes:
    """The decoded bytes of a mail with one part."""
    return cast(bytes, mail_in(path).get_payload(decode=True))


async def send(stubs: Stubs, folder: Path, message: bytes, people: str | bytes, *options: object) -> Result:
    """What `send` does with a message and people, into folder/out."""
    (folder / "spring.html").write_bytes(message)
    (folder / "people.csv").write_bytes(people if isinstance(people, bytes) else people.encode())
    return await run(stubs, "send", folder / "spring.html", "--to", folder / "people.csv", "--out", folder / "out", *options)


async def test_a_message_goes_to_everybody_and_clicks_on_it_are_reported(stubs: Stubs, tmp_path: Path) -> None:
    people = "person_id,email,name,test\n7,ola@example.com,Ola & co,\n,kari@example.com,Kari Ås,\n,test@example.com,Test,yes\n"
    result = await send(stubs, tmp_path, HTML, people, "--subject", "Vår", "--from", "Oss <oss@example.com>", "--ga-source", "spring")
    assert result.exit_code == 0, result.output
    assert "https://example.com/a?x=1&y=2" in result.stdout
    assert "not http or https  mailto:a@b.no" in result.stdout
    mails = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in mails] == ["000002.eml", "000003.eml", "000004.eml"]
    header = mail_in(mails[1])
    assert (str(header["From"]), str(header["To"]), header["Subject"]) == ("Oss <oss@example.com>", "Kari Ås <kari@example.com>", "Vår")
    before, after = HTML.replace(b"{{name}}", b"Ola &amp; co").split(b"https://example.com/a?x=1&amp;y=2")
    content = content_of(mails[0])
    assert content.startswith(before)
    assert content.endswith(after)
    for path in mails:
        url = content_of(path).decode().split('href="')[1].split('"')[0]
        assert await click(stubs, url) == "https://example.com/a?x=1&y=2&utm_medium=email&utm_source=spring"
    [mailing] = rows_of(await done(stubs, "mailing", "list"))
    report = await done(stubs, "report", mailing[0])
    assert "2 clicks, 2 clickers, 0 suspected" in report
    assert "delivered:        2" in report
    assert "100.0 %" in report
    assert len(rows_of(await done(stubs, "clickers", "--mailing", mailing[0]))) == 2
    totals, link = (await done(stubs, "report", mailing[0], "--json")).splitlines()
    assert json.loads(totals)["clickRate"] == 1.0
    assert json.loads(link)["counts"] == {"clicks": "2", "clickers": "2", "suspected": "0"}


async def test_mails_are_their_senders_only(stubs: Stubs, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        result = await send(stubs, tmp_path, HTML, "email,name\na@example.com,Ola\n")
    finally:
        os.umask(before)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, *out.iterdir())] == [0o700, 0o600]


async def test_both_parts_are_sent_and_the_text_has_lines_as_mails_have(stubs: Stubs, tmp_path: Path) -> None:
    (tmp_path / "spring.txt").write_bytes(b"Hei {{name}}\nhttps://example.com/t\n")
    result = await send(stubs, tmp_path, HTML, "email,name\na@example.com,Ola\n", "--text", tmp_path / "spring.txt", "--no-track-all")
    assert result.exit_code == 0, result.output
    assert "not a registered link, and the mailing does not track all links" in result.stdout
    text, html = (cast(EmailMessage, part) for part in mail_in(tmp_path / "out" / "000002.eml").iter_parts())
    assert text.get_payload(decode=True) == b"Hei Ola\r\nhttps://example.com/t\r\n"
    assert html.get_payload(decode=True) == HTML.replace(b"{{name}}", b"Ola")


async def test_bad_rows_are_told_with_their_lines_and_the_others_go_out(stubs: Stubs, tmp_path: Path) -> None:
    rows = [
        b"person_id;email;name;test",
        b"x;a@example.com;A;",
        b";;;",
        b"1;2",
        b"",
        b';b@example.com;"two',
        b'lines";',
        b";b@example.com;\xff;",
        b";nope;B;",
        b";c@example.com;C;perhaps",
        b"9223372036854775808;d@example.com;D;",
        b";good@example.com;Good;",
        b"7;;;",
    ]
    result = await send(stubs, tmp_path, b"<p>{{name}}</p>", b"\r\n".join(rows))
    assert result.exit_code == 1
    told = sorted(line for line in result.stderr.splitlines() if line.startswith("line "))
    assert [line.split(":")[0] for line in told] == [f"line {number}" for number in (10, 11, 2, 3, 4, 6, 8, 9)]
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["000012.eml", "000013.eml"]
    assert "2 messages" in result.stdout
    assert "8 rows left out" in result.stdout
    assert rows_of(await done(stubs, "mailing", "list"))[0][4] == "2"


@pytest.mark.parametrize(
    ("message", "people", "told"),
    [
        (HTML, "name\nOla\n", "person_id or email among them"),
        (HTML, "", "person_id or email among them"),
        (HTML, "email,name,name\n", "more than once"),
        (HTML + b"{{x}} {{y}}", "email,name\na@example.com,A\n", "no column for what the message needs values for: x, y"),
        (b'<a href="trackedlink:77">x</a>', "email\na@example.com\n", "html: line 1, column 10: there is no registered link"),
    ],
)
async def test_what_can_go_to_nobody_leaves_no_mailing_behind(stubs: Stubs, tmp_path: Path, message: bytes, people: str, told: str) -> None:
    result = await send(stubs, tmp_path, message, people)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert await done(stubs, "mailing", "list") == "no mailings\n"


async def test_a_folder_with_messages_is_not_mixed_with_others(stubs: Stubs, tmp_path: Path) -> None:
    people = "email,name\na@example.com,A\n"
    assert (await send(stubs, tmp_path, HTML, people)).exit_code == 0
    again = await send(stubs, tmp_path, HTML, people)
    assert again.exit_code == 1
    assert "holds messages already" in again.stderr
    assert len(rows_of(await done(stubs, "mailing", "list"))) == 1


async def test_more_people_than_fit_in_two_batches_each_get_an_own_url(stubs: Stubs, tmp_path: Path) -> None:
    people = "person_id,name\n" + "".join(f"{number},N{number}\n" for number in range(1, 2502))
    result = await send(stubs, tmp_path, b'<a href="https://example.com">{{name}}</a>', people)
    assert result.exit_code == 0, result.output
    contents = {content_of(path) for path in (tmp_path / "out").iterdir()}
    assert len(contents) == 2501
    assert contents == {content for content in contents if content.endswith(b"</a>")}
    assert content_of(tmp_path / "out" / "002502.eml").endswith(b">N2501</a>")


async def test_rows_are_read_as_they_are_needed(stubs: Stubs, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email\n" + "".join(f"{number}@example.com\n" for number in range(10_000)))
    mailing = await made(stubs, "mailing", "create", "M", "--track-all")
    track = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing, text=b"https://example.com")
    await stubs.mailings.TrackMessage(track)
    taken = 0

    def rows(of: People) -> Iterator[Row]:
        nonlocal taken
        for row in of.rows():
            assert isinstance(row, Row)
            taken += 1
            yield row

    def call() -> str:
        with connect(stubs.address) as service, People(people) as of, closing(minted(service.mailings, mailing, rows(of))) as results:
            row, urls = next(results)
            assert len(urls.urls) == 1
            return row.email

    assert await anyio.to_thread.run_sync(call) == "0@example.com"
    assert taken == 2000


async def test_the_crm_says_what_a_row_does_not(stubs: Stubs, tmp_path: Path) -> None:
    person = await made(stubs, "crm", "add-person", "Ola Ås", "--email", "ola@example.com")
    result = await send(stubs, tmp_path, b"<p>{{recipient.name}} {{recipient.email}}</p>", f"person_id\n{person}\n")
    assert result.exit_code == 0, result.output
    mail = mail_in(tmp_path / "out" / "000002.eml")
    assert str(mail["To"]) == "Ola Ås <ola@example.com>"
    assert mail.get_payload(decode=True) == "<p>Ola Ås ola@example.com</p>".encode()


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
async def test_a_message_rendered_here_is_the_one_the_server_renders(stubs: Stubs, charset: str) -> None:
    mailing = await stubs.mailings.CreateMailing(
        mailing_service_pb2.CreateMailingRequest(mailing=mailing_pb2.Mailing(name="M", track_all_links=True))
    )
    html, text = ((MAILS / f"spring.{part}").read_bytes().replace(b"trackedlink:", b"x:") for part in ("html", "txt"))
    track = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html, text=text, charset=charset)
    template = (await stubs.mailings.TrackMessage(track)).template
    values = dict.fromkeys([*Renderer(template).fields, *template.kept_fields], "<Ås & Żak>")
    recipients = [
        mailing_pb2.Recipient(person_id=7, name="Ola Ås", merge_fields=values),
        mailing_pb2.Recipient(email="kari@example.com", merge_fields=values | {"recipient.name": ""}),
    ]
    minting = stubs.mailings.MintUrls(iter([mailing_service_pb2.MintUrlsRequest(mailing_id=mailing.id, recipients=recipients)]))
    results = [result async for response in minting for result in response.results]
    render = mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing.id, recipients=recipients)
    rendering = stubs.mailings.RenderMessages(iter([render]))
    there = [Rendered(message.html, message.text) async for response in rendering for message in response.messages]
    here = [
        Renderer(template).render(urls_of(urls), fields_of(recipient, mailing.name))
        for recipient, urls in zip(recipients, results, strict=True)
    ]
    assert here == there
    assert all(b"http" in each.html for each in here)


class FrontDoor(BaseHTTPRequestHandler):
    """Something that answers `/healthz`."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


async def test_the_doctor_tells_what_is_well_and_what_is_not(stubs: Stubs) -> None:
    with HTTPServer(("127.0.0.1", 0), FrontDoor) as front:
        threading.Thread(target=front.serve_forever).start()
        url = f"http://127.0.0.1:{front.server_address[1]}"
        healthy = await run(stubs, "doctor", "--front", url)
        lost = await run(stubs, "doctor", "--front", f"{url}/elsewhere")
        front.shutdown()
    assert healthy.exit_code == 0, healthy.output
    assert [row[-1] for row in rows_of(healthy.stdout)] == ["serving"] * 11
    assert lost.exit_code == 1
    assert "Not Found" in lost.stdout


class Flaky:
    """A LinkService that is away for its first calls and remembers what it was asked."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.seconds_left: list[float] = []

    def answer(self, request: link_service_pb2.CreateLinkRequest, context: Any) -> link_pb2.Link:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.seconds_left.append(context.time_remaining())
        if len(self.requests) <= self.failures:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return request.link

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address at which it is served."""
        with ThreadPoolExecutor(2) as threads:
            server = grpc.server(threads)
            create = grpc.unary_unary_rpc_method_handler(
                self.answer, link_service_pb2.CreateLinkRequest.FromString, link_pb2.Link.SerializeToString
            )
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("trackedlinks.v1.LinkService", {"CreateLink": create}),))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            try:
                yield f"127.0.0.1:{port}"
            finally:
                server.stop(0).wait()


DRAFT = link_service_pb2.CreateLinkRequest(link=link_pb2.Link(name="S"))


def test_a_call_that_finds_the_service_away_is_sent_again_and_happens_once() -> None:
    flaky = Flaky(failures=3)
    with flaky.served() as address, connect(address, user=7, timeout=20) as service:
        assert service.links.CreateLink(DRAFT).name == "S"
    assert len(flaky.requests) == 4
    assert len({request.request_id for request in flaky.requests}) == 1
    assert flaky.requests[0].request_id
    assert {metadata["trackedlinks-user-id"] for metadata in flaky.metadata} == {"7"}
    assert all(0 < seconds < 21 for seconds in flaky.seconds_left)


def test_a_service_that_stays_away_is_given_up() -> None:
    flaky = Flaky(failures=99)
    with flaky.served() as address, connect(address) as service, pytest.raises(grpc.RpcError) as caught:
        service.links.CreateLink(DRAFT)
    assert len(flaky.requests) == 4
    assert CallRefused.of(caught.value).code is grpc.StatusCode.UNAVAILABLE


def test_the_caller_may_name_request_id_deadline_and_nobody() -> None:
    flaky = Flaky(failures=0)
    with flaky.served() as address, connect(address) as service:
        service.links.CreateLink(link_service_pb2.CreateLinkRequest(request_id="mine"), timeout=1000)
    assert flaky.requests[0].request_id == "mine"
    assert flaky.seconds_left[0] > 100
    assert "trackedlinks-user-id" not in flaky.metadata[0]


@pytest.mark.parametrize(("user", "timeout"), [(-1, 30.0), (0, 0.0)])
def test_a_connection_refuses_what_makes_no_sense(user: int, timeout: float) -> None:
    with pytest.raises(ValueError, match="must"):
        connect(user=user, timeout=timeout)


async def test_a_refused_call_says_code_reason_and_every_field(stubs: Stubs) -> None:
    def call() -> CallRefused:
        with connect(stubs.address) as service, pytest.raises(grpc.RpcError) as caught:
            service.folders.UpdateFolder(folder_service_pb2.UpdateFolderRequest())
        return CallRefused.of(caught.value)

    refusal = await anyio.to_thread.run_sync(call)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "folder.id" in dict(refusal.fields)
    assert "folder.id: " in str(refusal)


async def test_user_and_streams_reach_the_service_in_one_connection(stubs: Stubs) -> None:
    def call() -> tuple[int, int]:
        with connect(stubs.address, user=7) as service:
            draft = link_pb2.Link(name="S", redirect=link_pb2.Redirect(url="https://example.com"))
            link = service.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))
            request = mailing_service_pb2.MintUrlsRequest(link_ids=[link.id], recipients=[mailing_pb2.Recipient()])
            token = next(service.mailings.MintUrls(iter([request]))).results[0].urls[0].url.rpartition("/")[2]
            seen = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token)
            return link.creator, service.clicks.RecordClick(seen).click.verdict

    assert await anyio.to_thread.run_sync(call) == (7, click_pb2.VERDICT_HUMAN)


async def test_clickers_are_added_to_a_new_selection_and_the_skipped_are_named(stubs: Stubs) -> None:
    await run(stubs, "crm", "add-person", "Kari")
    await run(stubs, "link", "create", "Form", "--form", "https://example.com/?e={{recipient.email}}")
    shown = await run(stubs, "link", "list")
    assert "form: https://example.com/?e={{recipient.email}}" in shown.output
    for who in (["--person", 1], ["--email", "x@example.com"]):
        url = (await run(stubs, "link", "url", 1, *who)).output.strip()
        await stubs.clicks.RecordClick(click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2]))
    added = await run(stubs, "add-clickers", "--link", 1, "--new-selection", "Clicked")
    assert added.exit_code == 0, added.output
    assert added.output == "selection 1 Clicked: 1 added, 0 were there already\n1 skipped, no registered persons: x@example.com\n"
    wrong = await run(stubs, "add-clickers", "--link", 1)
    assert wrong.exit_code == 2


async def test_runs_and_trials_of_actions_are_told_in_words(stubs: Stubs) -> None:
    await run(stubs, "crm", "add-person", "Kari")
    await run(stubs, "link", "create", "L", "--url", "https://example.com/", "--set-field", "clicked=yes")
    assert (await run(stubs, "try", 1, "--person", 1)).output == "action 1: set 'clicked' to 'yes'\n"
    assert (await run(stubs, "try", 1)).output == "action 1: skipped: The recipient is not a registered person\n"
    url = (await run(stubs, "link", "url", 1, "--person", 1)).output.strip()
    await stubs.clicks.RecordClick(click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2]))
    shown = (await run(stubs, "runs", "--link", 1, "--state", "done")).output
    assert "Kari (person 1)" in shown
    assert (await run(stubs, "runs")).exit_code == 2


FULL = """
import resource, sys
from trackedlinks_client.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.argv[0] = "trackedlinks"
main()
"""
"""The command where no file can become larger than 1,000 bytes."""


async def test_a_disk_that_is_full_is_told_with_the_file_and_leaves_no_half_mail(stubs: Stubs, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_bytes(HTML * 20)
    (tmp_path / "people.csv").write_text("email,name\nkari@example.com,Kari\n")
    words: tuple[object, ...] = (
        "--address",
        stubs.address,
        "send",
        tmp_path / "mail.html",
        "--to",
        tmp_path / "people.csv",
        "--out",
        tmp_path / "out",
    )
    command = [sys.executable, "-c", FULL, *map(str, words), "--name", "Spring", "--from", "a@b.no"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode() == f"{tmp_path / 'out' / '000002.eml'}: File too large\n"
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").touch()
    words = (
        "send",
        tmp_path / "mail.html",
        "--to",
        tmp_path / "people.csv",
        "--out",
        tmp_path / "file",
        "--name",
        "Spring",
        "--from",
        "a@b.no",
    )
    assert await refused(stubs, *words) == [f"{tmp_path / 'file'}: File exists"]
