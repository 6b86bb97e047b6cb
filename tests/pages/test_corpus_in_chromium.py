"""What the corpus checker sees in Chromium: nothing in our own mails, and every rewrite that changes the DOM or the picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.template import Slot
from tests.corpus.chromium import InChromium
from tests.corpus.mail import Mail, mails_in
from tests.corpus.rewriting import rewriting, rewritten, url_of

MAILS = {mail.name: mail for mail in mails_in(Path(__file__).parent.parent / "mails")}
SPRING, BUILDER, DARK, TRAPS = (MAILS[f"{name}.html"] for name in ("spring", "builder", "darkmode", "traps"))
URLS = [url_of(number).encode() for number in range(16)]

Breakage = Callable[[bytes], bytes]
BREAKAGES: list[tuple[str, Mail, str, Breakage]] = [
    ("drops a quote", SPRING, "html>body>table>tbody>tr[1]>td>a", lambda mail: mail.replace(URLS[1] + b'"', URLS[1], 1)),
    ("swaps two addresses", SPRING, "html>body>table>tbody>tr[2]>td>p[1]>a[1]", lambda mail: _swapped(mail, URLS[2], URLS[3])),
    ("changes a width", SPRING, "html>body>table>tbody>tr[1]>td>a>img", lambda mail: mail.replace(b'width="240"', b'width="241"')),
    ("touches a comment", SPRING, "html>body>#comment", lambda mail: mail.replace(b"Read by nobody", b"Read by no one")),
    ("tracks in a comment", SPRING, "html>body>#comment", lambda mail: mail.replace(b"https://fjordhagen.example/kommentar", URLS[1])),
    ("loses the doctype", SPRING, "", lambda mail: mail.replace(b"<!DOCTYPE html>", b"")),
    ("re-encodes a letter", SPRING, "html>body>table>tbody>tr[2]>td>h2>#text", lambda mail: mail.replace("Å".encode(), b"A", 1)),
    ("changes a style sheet", SPRING, "html>head>style>#text", lambda mail: mail.replace(b"#f3f6f0", b"#f3f6f1")),
    ("rewrites a picture's address", SPRING, "html>body>table>tbody>tr[1]>td>a>img",
     lambda mail: mail.replace(b"https://bilder.fjordhagen.example/logo.png", URLS[1])),
    ("loses what surrounds a URL", SPRING, "html>body>table>tbody>tr[4]>td>p>a[2]", lambda mail: mail.replace(b'" http', b'"http')),
    ("rewrites no link at all", SPRING, "html>body>table>tbody>tr[1]>td>a", lambda mail: SPRING.content),
    ("adds a node", SPRING, "html>body>img", lambda mail: mail.replace(b"</body>", b"<img src=open.gif width=1 height=1></body>")),
    ("touches a condition", BUILDER, "html>body>div>#comment[1]", lambda mail: mail.replace(b"width:600px;height:180px", b"width:601px")),
    ("swaps addresses in a condition", BUILDER, "html>body>div>#comment[1]", lambda mail: _swapped(mail, URLS[1], URLS[7])),
    ("touches a template", TRAPS, "html>body>p[2]>template>#content>p>a>#text", lambda mail: mail.replace(b"In a template", b"In another")),
]  # fmt: skip


def _swapped(mail: bytes, one: bytes, other: bytes) -> bytes:
    return mail.replace(one, b"*").replace(other, one).replace(b"*", other)


@pytest.fixture(scope="module")
def look(browser: Browser) -> InChromium:
    return InChromium(browser)


@pytest.mark.parametrize("name", MAILS)
def test_our_own_mails_differ_in_nothing_but_addresses(name: str, look: InChromium) -> None:
    assert list(look(rewriting(MAILS[name]))) == []


@pytest.mark.parametrize(("how", "mail", "path", "breakage"), BREAKAGES, ids=[how for how, *_ in BREAKAGES])
def test_a_rewrite_that_changes_the_dom_is_noticed(how: str, mail: Mail, path: str, breakage: Breakage, look: InChromium) -> None:
    def broken(mail: Mail, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
        rendered = rewritten(mail, slots, urls)
        assert not slots or breakage(rendered) != rendered
        return breakage(rendered)

    assert path in [place for place, what in look(rewriting(mail, rewrite=broken)) if "picture" not in what], how


@pytest.mark.parametrize(
    ("breakage", "widths"),
    [
        (lambda mail: mail.replace(b"background: #f7f7fb", b"background: #f7f7fa"), [800, 375]),
        (lambda mail: mail.replace(b'width="120" height="40" alt', b'width="121" height="40" alt'), [800, 375]),
        (lambda mail: mail.replace(b"Tickets on your phone", b"Tickets on your phones"), [375]),
    ],
)
def test_a_rewrite_that_changes_the_picture_is_noticed(breakage: Breakage, widths: list[int], look: InChromium) -> None:
    def broken(mail: Mail, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
        return breakage(rewritten(mail, slots, urls))

    told = [what for _, what in look(rewriting(DARK, rewrite=broken)) if "picture" in what]
    assert [int(what.split()[2]) for what in told] == widths


def test_a_style_sheet_that_goes_by_addresses_changes_the_picture_alone(look: InChromium) -> None:
    mail = Mail(
        "styled.html", Part.html, b'<p>x<p><style>a[href*="8080"] { color: red }</style><a href="https://fjordhagen.example/">y</a>'
    )
    told = list(look(rewriting(mail)))
    assert [place for place, _ in told] == ["html>body>p[2]>a"] * 2
    assert all("picture" in what for _, what in told)


@pytest.mark.parametrize(
    "content", [b'<a href="https://a.no/1">x</a><a href="https://a.no/2">y</a>', b"<map><area href=https://a.no/1></map>"]
)
def test_a_link_that_was_not_found_is_noticed(content: bytes, look: InChromium) -> None:
    result = rewriting(Mail("a.html", Part.html, content), lambda part, content, charset: find_links(part, content, charset)[1:])
    assert "the href 'https://a.no/1' was not found" in [what for _, what in look(result)]


def test_what_is_no_link_to_a_browser_is_noticed(look: InChromium) -> None:
    content = b"<p>\n<textarea><a href=https://a.no/></textarea>"
    start = content.index(b"https")
    address = FoundAddress(Part.html, start, start + len(b"https://a.no/"), "https://a.no/", None)
    told = list(look(rewriting(Mail("a.html", Part.html, content), lambda part, content, charset: [address])))
    assert ("2:19", "found 'https://a.no/', which is no link in the DOM") in told


@pytest.mark.parametrize(
    "before", [b"<!-->", b"<!--->", b"<!-- a --!>", b"<!-- a -- b -->", b"<! a>", b"</ a>", b"<?a>", b"<title><a </title>"]
)
def test_what_browsers_read_as_a_comment_hides_no_link(before: bytes, look: InChromium) -> None:
    mail = Mail("a.html", Part.html, before + b'<a href="https://a.no/">x</a> --> <a href="https://a.no/2">y</a>')
    result = rewriting(mail)
    assert len(result.urls) == 2
    assert list(look(result)) == []


def test_a_mail_that_would_lead_elsewhere_by_itself_stays(look: InChromium) -> None:
    content = b'<meta http-equiv=refresh content="0;url=https://a.no/"><iframe src="https://a.no/"></iframe><a href="https://a.no/x">x</a>'
    assert list(look(rewriting(Mail("a.html", Part.html, content)))) == []
