"""`trackedlinks script …`, and links that run scripts and send webhooks, against a real server."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import json_format

from tests.support.cli import done, made, refused, rows_of
from tests.support.stubs import Stubs
from trackedlinks.v1 import link_pb2, script_pb2
from trackedlinks_client import words

SOURCE = "if linkHits > 1:\n\treturnUrl = 'https://example.com/again'\nprint('hit', linkHits)\n"
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite alone: what the commands call is proven on both databases by the tests of the service."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.db')}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A script in a file."""
    path = tmp_path / "again.py"
    path.write_text(SOURCE)
    return path


async def test_a_script_is_made_from_a_file_and_shown_with_its_source(stubs: Stubs, source: Path) -> None:
    script = await made(stubs, "script", "create", "Again", "--file", source, "--description", "Second click", user=7)
    shown = (await done(stubs, "script", "show", script)).splitlines()
    assert shown[0].split() == ["script:", str(script), "Again"]
    assert shown[1].split() == ["for:", "Second", "click"]
    assert shown[2].split() == ["version:", "1"]
    assert shown[3].endswith("by user 7")
    assert shown[-4:] == ["", "if linkHits > 1:", "    returnUrl = 'https://example.com/again'", "print('hit', linkHits)"]
    stored = json_format.Parse(await done(stubs, "script", "show", script, "--json"), script_pb2.Script())
    assert (stored.source, stored.creator) == (SOURCE, 7)


async def test_a_source_comes_from_standard_input_without_its_byte_order_mark(stubs: Stubs) -> None:
    piped = b"\xef\xbb\xbfprint('\xc3\xa6\xc3\xb8\xc3\xa5')\r\n"
    made = json.loads(await done(stubs, "script", "create", "Piped", "--file", "-", "--json", piped=piped))
    assert made["source"] == "print('æøå')\r\n"
    assert (await done(stubs, "script", "test", "--file", "-", piped=piped)).splitlines()[1] == "printed:  æøå"
    assert await refused(stubs, "script", "create", "Other", "--file", "-", piped=b"\xff") == [
        "standard input: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    ]


async def test_a_file_that_is_not_there_or_no_text_is_told_with_its_name(stubs: Stubs, tmp_path: Path) -> None:
    missing, noise = tmp_path / "missing.py", tmp_path / "noise.py"
    noise.write_bytes(b"\xff")
    assert await refused(stubs, "script", "create", "S", "--file", missing) == [f"{missing}: No such file or directory"]
    assert (await refused(stubs, "script", "create", "S", "--file", noise))[0].startswith(f"{noise}: ")
    assert await done(stubs, "script", "list") == "no scripts\n"


async def test_a_source_that_does_not_parse_is_told_with_its_line(stubs: Stubs, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nreturnUrl = (")
    told = await refused(stubs, "script", "create", "S", "--file", path)
    assert told[0].startswith("script.source: ")
    assert "Line 2: " in told[0]


async def test_scripts_are_listed_and_an_update_changes_what_it_names(stubs: Stubs, source: Path) -> None:
    script = await made(stubs, "script", "create", "Again", "--file", source)
    assert await made(stubs, "script", "update", script, "--name", "Later", "--description", "Why") == script
    source.write_text("pass")
    changed = json.loads(await done(stubs, "script", "update", script, "--file", source, "--json"))
    assert (changed["name"], changed["description"], changed["version"], changed["source"]) == ("Later", "Why", "2", "pass")
    assert (await done(stubs, "script", "show", script)).splitlines()[-1] == "pass"
    assert "print('hit', linkHits)" in await done(stubs, "script", "show", script, "--version", 1)
    assert json.loads(await done(stubs, "script", "update", script, "--description", "", "--json"))["description"] == ""
    assert [(row[0], row[1], row[-1]) for row in rows_of(await done(stubs, "script", "list"))] == [(str(script), "2", "Later")]
    assert json.loads(await done(stubs, "script", "list", "--json"))["id"] == str(script)
    assert await refused(stubs, "script", "show", script, "--version", 3) == ["script 1 has no version 3, the newest is 2"]


async def test_a_trial_says_where_the_recipient_would_go_what_was_printed_and_what_went_wrong(stubs: Stubs, tmp_path: Path) -> None:
    path = tmp_path / "try.py"
    path.write_text("print(custId, recipient['email'], linkId)\nif linkId:\n    returnUrl = linkUrl + 'x'\n")
    link = await made(stubs, "link", "create", "L", "--url", "https://example.com/")
    person = await made(stubs, "crm", "add-person", "Kari", "--email", "kari@example.com")
    script = await made(stubs, "script", "create", "Try", "--file", path)
    assert (await done(stubs, "script", "test", script)).splitlines() == ["leads to: where the link leads", "printed:  0  0"]
    assert (await done(stubs, "script", "test", script, "--link", link, "--person", person)).splitlines() == [
        "leads to: https://example.com/x",
        f"printed:  {person} kari@example.com {link}",
    ]
    assert (await done(stubs, "script", "test", "--file", path, "--email", "ola@example.com")).splitlines()[1] == (
        "printed:  0 ola@example.com 0"
    )
    path.write_text("returnUrl = 'nowhere'")
    answer = json.loads(await done(stubs, "script", "test", "--file", path, "--json"))
    assert (answer["returnUrl"], answer["log"]) == ("", "")
    assert answer["problem"].startswith("returnUrl is no web address: ")
    assert await refused(stubs, "script", "test", script, "--mailing", 9) == ["there is no mailing 9"]


async def test_a_link_runs_a_script_and_sends_a_webhook_told_in_words(stubs: Stubs, source: Path, tmp_path: Path) -> None:
    script = await made(stubs, "script", "create", "Again", "--file", source)
    more = tmp_path / "more.json"
    more.write_text('[{"setField": {"field": "last"}}]')
    options = [
        *("--webhook", "https://hooks.example.com/in", "--webhook-secret", SECRET, "--script", script),
        *("--actions", more, "--service-request", "First"),
    ]
    shown = await done(stubs, "link", "create", "Spring", "--url", "https://example.com/", *options)
    assert [line.split(": ", 1)[1] for line in shown.splitlines() if line.startswith("action")] == [
        "make a service request 'First'",
        f"run script {script}",
        "send a signed event to https://hooks.example.com/in",
        "clear 'last'",
    ]
    assert "whsec_" not in shown


def test_a_chosen_version_and_a_secret_that_changes_are_told() -> None:
    script = link_pb2.LinkAction(script=link_pb2.RunScript(script_id=3, version=2))
    webhook = link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url="https://example.com/"))
    webhook.webhook.previous_secret_expire_time.seconds = 1_800_000_000
    assert words.action(script) == "run script 3 in version 2"
    assert words.action(webhook) == (
        "send a signed event to https://example.com/, until 2027-01-15 08:00:00Z with the secret before as well"
    )
