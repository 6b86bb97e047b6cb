"""The corpus checker: it passes our own mails and notices every way of breaking them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.template import Slot
from tests.corpus.__main__ import main
from tests.corpus.check import check, report
from tests.corpus.mail import Mail, mails_in
from tests.corpus.rewriting import rewritten, url_of

MAILS = Path(__file__).parent.parent / "mails"
SPRING = Mail("spring.html", Part.html, (MAILS / "spring.html").read_bytes())
TEXT = Mail("spring.txt", Part.text, (MAILS / "spring.txt").read_bytes())
BUILDER = Mail("builder.html", Part.html, (MAILS / "builder.html").read_bytes())
IN_COMMENT = SPRING.content.index(b"https://fjordhagen.example/kommentar")
URLS = [url_of(number).encode() for number in range(4)]

BREAKAGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("loses a byte at the end", lambda rendered: rendered[:-1]),
    ("adds a line at the end", lambda rendered: rendered + b"\n"),
    ("changes case", lambda rendered: rendered.replace(b"<h2>", b"<H2>", 1)),
    ("changes line ends", lambda rendered: rendered.replace(b"\n", b"\r\n", 1)),
    ("re-encodes letters", lambda rendered: rendered.replace("å".encode(), b"&aring;", 1)),
    ("loses blanks in a merge field", lambda rendered: rendered.replace(b"{{ recipient.name }}", b"{{recipient.name}}")),
    ("loses an address", lambda rendered: rendered.replace(URLS[3], b"", 1)),
    ("swaps addresses", lambda rendered: rendered.replace(URLS[1], b"*").replace(URLS[2], URLS[1]).replace(b"*", URLS[2])),
    ("encodes a merge field", lambda rendered: rendered.replace(b"{{recipient.name}}", b"%7B%7Brecipient.name%7D%7D")),
    ("rewrites mailto", lambda rendered: rendered.replace(b"mailto:", URLS[1] + b"mailto:")),
]

MISTAKES: list[tuple[str, Callable[[list[FoundAddress]], list[FoundAddress]]]] = [
    ("misses a link", lambda found: found[1:]),
    ("misses a link left alone", lambda found: [each for each in found if each.left_alone is None]),
    ("starts a byte late", lambda found: [replace(each, start=each.start + 1) for each in found]),
    ("starts a byte early", lambda found: [replace(each, start=each.start - 1) for each in found]),
    ("ends a byte late", lambda found: [replace(each, end=each.end + 1) for each in found]),
    ("sees a link in a comment", lambda found: [replace(found[0], start=IN_COMMENT, end=IN_COMMENT + 5), *found[1:]]),
]


def test_our_own_mails_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(MAILS) == 0
    assert capsys.readouterr().out == "11 mails, 122 links tracked, 30 links left alone\n"


@pytest.mark.parametrize(("how", "breakage"), BREAKAGES)
def test_a_rewrite_that_changes_the_mail_fails(how: str, breakage: Callable[[bytes], bytes]) -> None:
    def broken(mail: Mail, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
        rendered = rewritten(mail, slots, urls)
        assert not slots or breakage(rendered) != rendered
        return breakage(rendered)

    assert check(SPRING, rewrite=broken).failures, how


@pytest.mark.parametrize(("how", "mistake"), MISTAKES)
def test_a_search_that_misses_or_misplaces_links_fails(how: str, mistake: Callable[[list[FoundAddress]], list[FoundAddress]]) -> None:
    assert check(SPRING, find=lambda part, content, charset: mistake(find_links(part, content, charset))).failures, how


def test_a_link_for_outlook_only_that_is_missed_fails() -> None:
    def is_hidden(address: FoundAddress) -> bool:
        return BUILDER.content.rfind(b"<!--[if", 0, address.start) > BUILDER.content.rfind(b"-->", 0, address.start)

    found = find_links(BUILDER.part, BUILDER.content)
    hidden = [address for address in found if is_hidden(address)]
    assert len(hidden) == 7
    for missed in hidden:

        def without(part: Part, content: bytes, charset: str, missed: FoundAddress = missed) -> list[FoundAddress]:
            return [address for address in found if address is not missed]

        assert [what for _, what in check(BUILDER, find=without).failures if what.endswith("was not found")]


def test_a_text_address_that_is_missed_or_cut_fails() -> None:
    assert check(TEXT, find=lambda part, content, charset: find_links(part, content, charset)[1:]).failures
    assert not check(TEXT).failures


def test_a_text_address_that_goes_on_behind_what_was_found_fails() -> None:
    def short(part: Part, content: bytes, charset: str) -> list[FoundAddress]:
        return [replace(each, end=each.end - 2) for each in find_links(part, content, charset)]

    assert [place for place, what in check(TEXT, find=short).failures if "goes on" in what]


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        (b"<p>\xc3\xa5", "utf-8"),
        (b"<p>\xe5", "windows-1252"),
        (b'<META HTTP-EQUIV=Content-Type CONTENT="text/html; charset=ISO-8859-2"><p>\xe5', "iso-8859-2"),
        (b"<meta charset=iso-8859-5>\xe5", "iso-8859-5"),
        (b'<meta charset="shift_jis">\xe5', "windows-1252"),
    ],
)
def test_a_mail_is_read_in_utf_8_or_in_what_it_declares(content: bytes, charset: str, tmp_path: Path) -> None:
    (tmp_path / "one.html").write_bytes(content)
    assert [mail.charset for mail in mails_in(tmp_path)] == [charset]


def test_a_failure_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "odd.TXT").write_bytes(b"x\nsee https://a.no/\n")
    (tmp_path / "even.html").write_bytes(b"<p>\n\n  <a href='https://a.no/'>")
    assert report(tmp_path, find=lambda part, content, charset: []) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"{Path('deep', 'odd.TXT')}:2:5: the address 'https://a' was not found" in lines
    assert "even.html:3:3: the href 'https://a.no/' was not found" in lines
    assert lines[-1] == "2 mails, 0 links tracked, 0 links left alone"


def test_a_mail_with_nothing_to_track_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare.html").write_bytes(b"<p>\xe5</p>")
    assert report(tmp_path) == 0
    named, total = capsys.readouterr().out.splitlines()
    assert named.startswith("bare.html: nothing to track")
    assert total == "1 mails, 0 links tracked, 0 links left alone"


def test_a_folder_without_mails_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("no mail")
    assert report(tmp_path) == 1
    assert capsys.readouterr().out == "0 mails, 0 links tracked, 0 links left alone\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-folder"], ["a", "b"]])
def test_a_missing_folder_is_another_exit_code(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_without_chromium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([str(MAILS)]) == 3
    assert "apt-get install chromium" in capsys.readouterr().err
