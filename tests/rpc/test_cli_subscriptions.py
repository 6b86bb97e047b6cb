"""`trackedlinks subscriptions` and what a mailing type does for `trackedlinks send`, against a real server."""

import email
import email.policy
import re
import shutil
from pathlib import Path

import pytest

from tests.support.cli import done, made, refused, rows_of
from tests.support.stubs import Stubs

HTML = """<p>Dear {{ name }}</p><a href="https://example.com/{{ shop }}">Your shop</a>
<a href="trackedlink:unsubscribe">Unsubscribe</a><a href="trackedlink:view-online">View online</a>"""


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """SQLite alone: what the commands call is proven on both databases by the tests of the service."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.db')}"


async def test_somebody_leaves_and_comes_back(stubs: Stubs) -> None:
    news = await made(stubs, "crm", "add", "mailing-type", "News")
    assert rows_of(await done(stubs, "subscriptions", "1")) == [[str(news), "News", "subscribed"]]
    assert await done(stubs, "unsubscribe", "1", news) == "1: News unsubscribed\n"
    assert await done(stubs, "unsubscribe", "guest@example.org", news) == "guest@example.org: News unsubscribed\n"
    for who in ("1", "Guest@example.org"):
        assert rows_of(await done(stubs, "subscriptions", who))[0][2] == "unsubscribed"
    assert await done(stubs, "subscribe", "1", news) == "1: News subscribed\n"
    assert '"subscribed": true' in await done(stubs, "subscriptions", "1", "--json")
    assert (await refused(stubs, "unsubscribe", "nobody", news))[0].startswith("subscriber.email: ")


async def test_a_mailing_of_a_type_leaves_out_who_left_and_can_be_left_with_one_click(stubs: Stubs, tmp_path: Path) -> None:
    news = await made(stubs, "crm", "add", "mailing-type", "News")
    await done(stubs, "unsubscribe", "2", news)
    await done(stubs, "unsubscribe", "gone@example.org", news)
    message, people, out = tmp_path / "m.html", tmp_path / "people.csv", tmp_path / "out"
    message.write_text(HTML)
    people.write_text("person_id,email,name,shop\n1,kari@example.com,Kari,oslo\n2,ola@example.com,Ola,bergen\n,gone@example.org,G,x\n")
    said = await done(stubs, "send", message, "--to", people, "--out", out, "--mailing-type", news, "--language", "nb", "--name", "Spring")
    tracked = [line.split() for line in said.splitlines()[1:4]]
    assert tracked[0][:2] == ["html", "1"]
    assert tracked[1] == ["html", "unsubscribe", "trackedlink:unsubscribe"]
    assert tracked[2] == ["html", "view", "online", "trackedlink:view-online"]
    assert said.splitlines()[-1] == f"mailing 1: 1 messages in {out}, 2 unsubscribed"
    (path,) = out.glob("*.eml")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<http://127\.0\.0\.1:8080/[A-Za-z0-9_-]+>", mail["List-Unsubscribe"])
    assert "Dear Kari" in str(mail.get_content())
    shown = await done(stubs, "mailing", "show", 1)
    assert re.search(rf"mailing type: +{news}\n", shown)


async def test_a_column_that_urls_need_is_asked_for_before_anything_is_written(stubs: Stubs, tmp_path: Path) -> None:
    message, people, out = tmp_path / "m.html", tmp_path / "people.csv", tmp_path / "out"
    message.write_text('<a href="https://example.com/{{ shop }}">Your shop</a>')
    people.write_text("email\nkari@example.com\n")
    assert await refused(stubs, "send", message, "--to", people, "--out", out) == ["no column for what the message needs values for: shop"]
    assert not list(out.glob("*.eml"))


async def test_without_a_mailing_type_a_mail_has_no_such_header(stubs: Stubs, tmp_path: Path) -> None:
    message, people, out = tmp_path / "m.txt", tmp_path / "people.csv", tmp_path / "out"
    message.write_text("https://example.com/")
    people.write_text("email\nkari@example.com\n")
    await done(stubs, "send", message, "--to", people, "--out", out)
    (path,) = out.glob("*.eml")
    assert b"List-Unsubscribe" not in path.read_bytes()


async def test_a_row_that_is_no_address_is_told_and_the_others_get_their_mail(stubs: Stubs, tmp_path: Path) -> None:
    news = await made(stubs, "crm", "add", "mailing-type", "News")
    message, people, out = tmp_path / "m.html", tmp_path / "people.csv", tmp_path / "out"
    message.write_text('<a href="https://example.com/">x</a>')
    people.write_text("email\nkari@example.com\nno address\nola@example.com\n")
    told = await refused(stubs, "send", message, "--to", people, "--out", out, "--mailing-type", news)
    assert [line.partition(":")[0] for line in told] == ["line 3"]
    assert len(list(out.glob("*.eml"))) == 2
