"""The corpus checker: it passes our own mails and notices every way of breaking them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.template import Slot
from tests.corpus import Mail, check, main, rewritten

MAILS = Path(__file__).parent.parent / "mails"
SPRING = Mail("spring.html", Part.html, (MAILS / "spring.html").read_bytes())
TEXT = Mail("spring.txt", Part.text, (MAILS / "spring.txt").read_bytes())
IN_COMMENT = SPRING.content.index(b"https://fjordhagen.example/kommentar")

BREAKAGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("loses a byte at the end", lambda rendered: rendered[:-1]),
    ("adds a line at the end", lambda rendered: rendered + b"\n"),
    ("changes case", lambda rendered: rendered.replace(b"<h2>", b"<H2>", 1)),
    ("changes line ends", lambda rendered: rendered.replace(b"\n", b"\r\n", 1)),
    ("re-encodes letters", lambda rendered: rendered.replace("å".encode(), b"&aring;", 1)),
    ("loses blanks in a merge field", lambda rendered: rendered.replace(b"{{ recipient.name }}", b"{{recipient.name}}")),
    ("loses an address", lambda rendered: rendered.replace(b"https://t.example/000003", b"", 1)),
    ("swaps addresses", lambda rendered: rendered.replace(b"000001", b"x").replace(b"000002", b"000001").replace(b"x", b"000002")),
    ("encodes a merge field", lambda rendered: rendered.replace(b"{{recipient.number}}", b"%7B%7Brecipient.number%7D%7D")),
    ("rewrites mailto", lambda rendered: rendered.replace(b"mailto:", b"https://t.example/mailto:")),
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
    assert main([str(MAILS)]) == 0
    assert capsys.readouterr().out == "4 mails, 27 links tracked, 11 links left alone\n"


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


def test_a_text_address_that_is_missed_or_cut_fails() -> None:
    assert check(TEXT, find=lambda part, content, charset: find_links(part, content, charset)[1:]).failures
    assert not check(TEXT).failures


def test_a_failure_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "odd.TXT").write_bytes(b"x\nsee https://a.no/\n")
    (tmp_path / "even.html").write_bytes(b"<p>\n\n  <a href='https://a.no/'>")
    assert main([str(tmp_path)], find=lambda part, content, charset: []) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"{Path('deep', 'odd.TXT')}:2:5: the address 'https://a' was not found" in lines
    assert "even.html:3:3: the href 'https://a.no/' was not found" in lines
    assert lines[-1] == "2 mails, 0 links tracked, 0 links left alone"


def test_a_mail_with_nothing_to_track_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare.html").write_bytes(b"<p>\xe5</p>")
    assert main([str(tmp_path)]) == 0
    named, total = capsys.readouterr().out.splitlines()
    assert named.startswith("bare.html: nothing to track")
    assert total == "1 mails, 0 links tracked, 0 links left alone"


def test_a_folder_without_mails_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("no mail")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "0 mails, 0 links tracked, 0 links left alone\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-folder"], ["a", "b"]])
def test_a_missing_folder_is_another_exit_code(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
