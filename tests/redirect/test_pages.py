"""The pages that recipients see, in every language: what they are made of, what they escape, and their headers."""

import base64
import hashlib
from html.parser import HTMLParser

import pytest
from selectolax.lexbor import LexborHTMLParser

from redirect import pages
from redirect.languages import LANGUAGES
from tests.support.recipient_pages import BUTTONS, HOSTILE, LONG, MANY, NEWS, PAGES, RENEWED_URL, UNTIL

VOID = {"meta", "input", "hr"}

every_page = pytest.mark.parametrize("name", PAGES)
every_language = pytest.mark.parametrize("language", LANGUAGES)


class Balance(HTMLParser):
    """Whether every element that begins ends, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@every_page
@every_language
def test_a_page_is_whole_has_a_language_and_a_heading_and_brings_nothing_from_elsewhere(name: str, language: str) -> None:
    content = PAGES[name](language).decode()
    assert content.startswith("<!doctype html>")
    balance = Balance()
    balance.feed(content)
    balance.close()
    assert balance.open == []
    tree = LexborHTMLParser(content)
    html = tree.css_first("html")
    assert html is not None
    assert html.attributes == {"lang": language}
    assert [len(tree.css(one)) for one in ("head > title", "h1", "body > main", "style")] == [1, 1, 1, 1]
    assert all(element.text().strip() for element in tree.css("title, h1, button, a, legend"))
    assert tree.css('meta[name="color-scheme"]')[0].attributes["content"] == "light dark"
    assert "width=device-width" in (tree.css('meta[name="viewport"]')[0].attributes["content"] or "")
    for element in tree.css("*"):
        assert element.tag not in ("script", "link", "img", "iframe", "object", "base", "svg")
        for attribute, value in element.attributes.items():
            assert not attribute.startswith("on")
            assert attribute not in ("style", "src", "action", "formaction", "target", "autofocus")
            assert attribute != "href" or value in (RENEWED_URL, "https://example.com/")
    assert tree.css("style")[0].text() == pages.STYLE


@every_page
@every_language
def test_a_form_posts_to_its_own_page_and_all_its_fields_are_labelled(name: str, language: str) -> None:
    tree = LexborHTMLParser(PAGES[name](language).decode())
    assert [form.attributes["method"] for form in tree.css("form")] == (["post"] if name in BUTTONS else [])
    assert [(button.attributes["name"], button.attributes["value"]) for button in tree.css("button")] == [
        (button, "yes") for button in BUTTONS.get(name, [])
    ]
    shown = tree.css('input[type="hidden"]')
    assert len(tree.css("fieldset > label > input")) == len(shown) == len(tree.css("input")) - len(shown)
    assert len(tree.css("fieldset > legend")) == bool(shown)
    assert all(label.text().strip() for label in tree.css("label"))


@every_language
def test_only_a_trial_says_that_it_is_one(language: str) -> None:
    trials = {name for name in PAGES if 'class="notice"' in PAGES[name](language).decode()}
    assert trials == {"unsubscribe_trial", "unsubscribed_long", "manage_trial"}
    for trial in (False, True):
        for page in (pages.unsubscribe, pages.unsubscribed, pages.subscribed):
            assert ('class="notice"' in page(NEWS, language, trial).decode()) == trial
        assert ('class="notice"' in pages.manage(MANY, language, trial, UNTIL, False).decode()) == trial


@every_language
@pytest.mark.parametrize("subscription", [HOSTILE, LONG, NEWS])
def test_a_name_is_shown_as_it_is_and_stands_by_itself(language: str, subscription: pages.Subscription) -> None:
    for page in (
        pages.unsubscribe(subscription, language, False),
        pages.unsubscribed(subscription, language, True),
        pages.subscribed(subscription, language, False),
        pages.manage([subscription], language, False, UNTIL, True),
    ):
        tree = LexborHTMLParser(page.decode())
        assert [name.text() for name in tree.css("bdi")] == [subscription.name]
        assert tree.css("script, [onclick]") == []


def test_the_mailing_types_are_there_by_number_and_those_subscribed_to_are_ticked() -> None:
    tree = LexborHTMLParser(pages.manage(MANY, "nb", False, UNTIL, False).decode())
    numbers = [str(subscription.mailing_type_id) for subscription in MANY]
    assert [element.attributes["value"] for element in tree.css('[name="shown"]')] == numbers
    assert [element.attributes["value"] for element in tree.css('[type="checkbox"][name="wanted"]')] == numbers
    ticked = [element.attributes["value"] for element in tree.css("[checked]")]
    assert ticked == [str(subscription.mailing_type_id) for subscription in MANY if subscription.subscribed]


@every_language
def test_what_was_saved_is_said_in_the_title_and_as_a_status(language: str) -> None:
    saved, not_saved = (LexborHTMLParser(pages.manage(MANY, language, False, UNTIL, saved).decode()) for saved in (True, False))
    assert ([len(tree.css('[role="status"]')) for tree in (saved, not_saved)]) == [1, 0]
    assert saved.css("title")[0].text().endswith(f": {not_saved.css('title')[0].text()}")


@pytest.mark.parametrize(
    ("language", "moment"),
    [
        ("en", "4 March 2027, 15:06 (UTC)"),
        ("nb", "4. mars 2027 kl. 15:06 (UTC)"),
        ("sv", "4 mars 2027 kl. 15:06 (UTC)"),
        ("da", "4. marts 2027 kl. 15.06 (UTC)"),
        ("de", "4. März 2027, 15:06 Uhr (UTC)"),
        ("nl", "4 maart 2027, 15:06 uur (UTC)"),
    ],
)
def test_a_moment_is_written_as_the_language_writes_it(language: str, moment: str) -> None:
    assert moment in pages.manage([], language, False, UNTIL, False).decode()
    assert moment in pages.renewed("/x", language, UNTIL).decode()


def test_a_custom_text_keeps_its_language_and_its_own_heading() -> None:
    own = LexborHTMLParser(pages.text_page("<h1>مرحبا</h1><p>…</p>", "ar", "A <title>").decode())
    assert own.css("html")[0].attributes["lang"] == "ar"
    assert own.css("main")[0].attributes["dir"] == "auto"
    assert [heading.text() for heading in own.css("h1")] == ["مرحبا"]
    assert own.css("title")[0].text() == "A <title>"
    bare = LexborHTMLParser(pages.text_page("<p>…</p>", "", 'A "title" & <b>').decode())
    assert bare.css("html")[0].attributes["lang"] == "en"
    assert [heading.text() for heading in bare.css("h1")] == ['A "title" & <b>']
    sly = pages.text_page("<p>…</p>", '"><script>', "</title><script>").decode()
    assert LexborHTMLParser(sly).css("script") == []


def test_a_text_message_is_shown_as_it_is_in_a_language_that_nobody_knows() -> None:
    tree = LexborHTMLParser(pages.plain_message(" <b>\n\n\thttps://example.com/ \udcff\x00", "de").decode())
    message = tree.css(".message")[0]
    assert message.attributes["lang"] == ""
    assert message.text().startswith(" <b>\n\n\thttps://example.com/ ?")
    assert tree.css("a, b") == []


def test_a_language_that_is_not_ours_gets_the_english_page() -> None:
    assert pages.not_found("fr") == pages.not_found("en") != pages.not_found("nb")


def policy(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    directives = dict(headers)[b"content-security-policy"].decode().split("; ")
    return dict(directive.partition(" ")[::2] for directive in directives)


def test_the_policy_allows_the_one_style_and_forms_only_where_they_are() -> None:
    style = LexborHTMLParser(pages.not_found("en").decode()).css("style")[0].text()
    expected = {
        "default-src": "'none'",
        "style-src": f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert policy(pages.HEADERS) == {**expected, "form-action": "'none'"}
    assert policy(pages.FORM_HEADERS) == {**expected, "form-action": "'self'"}
    assert "url(" not in style
    assert "@import" not in style


def test_a_newsletter_as_a_page_runs_no_script_and_may_show_its_pictures() -> None:
    assert policy(pages.ONLINE_HEADERS) == {
        "default-src": "'none'",
        "img-src": "http: https: data:",
        "style-src": "'unsafe-inline' http: https:",
        "font-src": "http: https: data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation",
    }


@pytest.mark.parametrize("headers", [pages.HEADERS, pages.FORM_HEADERS, pages.ONLINE_HEADERS])
def test_no_page_is_kept_listed_or_named_elsewhere(headers: list[tuple[bytes, bytes]]) -> None:
    found = dict(headers)
    assert len(found) == len(headers)
    assert found.pop(b"content-type", b"text/html; charset=utf-8") == b"text/html; charset=utf-8"
    assert (b"content-type" in dict(headers)) == (headers is not pages.ONLINE_HEADERS)
    del found[b"content-security-policy"]
    assert found == {
        b"cache-control": b"private, no-store",
        b"referrer-policy": b"no-referrer",
        b"x-robots-tag": b"noindex, nofollow",
        b"x-content-type-options": b"nosniff",
    }
