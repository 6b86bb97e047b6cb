"""How the pages are used: by keyboard alone, without scripts, and with nothing asked of anybody but the page itself."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.site import LOOKED_AT, Site
from tests.support.recipient_pages import BUTTONS, PAGES, RENEWED_URL

Visit = Callable[[str], tuple[list[str], list[str]]]

some_languages = pytest.mark.parametrize("language", LOOKED_AT)

MOST_TABS = 200
AT = """selector => {
  const focused = document.activeElement, box = focused.getBoundingClientRect();
  const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const inSight = box.top > -1 && box.bottom < innerHeight + 1 && focused.contains(hit);
  const style = getComputedStyle(focused);
  const ring = focused.matches(':focus-visible') && style.outlineStyle == 'solid' && style.outlineWidth == '3px';
  return [inSight, ring, focused.matches(selector)];
}"""
"""Whether what has the focus is in the window with nothing in front of it, has a ring around it, and is what was looked for."""

LEAST_CONTRAST = 3.0
"""Of a focus ring against what is behind it (WCAG 1.4.11)."""


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens a URL, and says what the browser asked for, of its cache too, and what it complained of. All in one page: to open one costs
    more than what is looked at in it."""
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))

    def opened(url: str) -> tuple[list[str], list[str]]:
        asked.clear()
        said.clear()
        page.goto(url)
        return list(asked), list(said)

    yield opened
    page.close()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page without scripts, in the window of a phone. Tests open in it what they try."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 640})
    yield context.new_page()
    context.close()


@some_languages
@pytest.mark.parametrize("name", PAGES)
def test_the_browser_asks_for_the_page_alone_and_complains_of_nothing(visit: Visit, served: Site, name: str, language: str) -> None:
    asked, said = visit(f"{served.url}/{language}/{name}")
    assert asked == [f"{served.url}/{language}/{name}"]
    assert served.asked == [f"/{language}/{name}"]
    assert said == []


def test_a_page_that_breaks_the_policy_is_complained_of(visit: Visit, served: Site) -> None:
    asked, said = visit(f"{served.url}/trouble")
    assert len([message for message in said if "Content Security Policy" in message]) == 2
    assert served.asked == ["/trouble"]
    assert asked[0] == f"{served.url}/trouble"


@pytest.mark.parametrize(("language", "key"), [*zip(LOOKED_AT, ["Enter", "Space", "Enter"], strict=True)])
@pytest.mark.parametrize(("name", "button"), [(name, button) for name in BUTTONS for button in BUTTONS[name]])
def test_a_button_is_reached_and_pressed_by_keyboard_without_scripts(
    page: Page, served: Site, name: str, button: str, language: str, key: str
) -> None:
    page.goto(f"{served.url}/{language}/{name}")
    shown = [element.get_attribute("value") for element in page.locator('[name="shown"]').all()]
    wanted = [element.get_attribute("value") for element in page.locator('[name="wanted"]:checked').all()]
    _tab_to(page, f"button[name={button}]")
    _press(page, key)
    expected = {name: values for name, values in {"shown": shown, "wanted": wanted}.items() if values}
    assert served.posted == [(f"/{language}/{name}", {**expected, button: ["yes"]})]


@some_languages
def test_subscriptions_are_changed_by_keyboard_and_enter_saves_them(page: Page, served: Site, language: str) -> None:
    page.goto(f"{served.url}/{language}/manage")
    for number in ("7", "8"):
        _tab_to(page, f"[name=wanted][value='{number}']")
        page.keyboard.press("Space")
    _press(page, "Enter")
    assert served.posted == [(f"/{language}/manage", {"shown": ["7", "8", "9"], "wanted": ["8", "9"], "save": ["yes"]})]


def test_a_tap_on_the_name_ticks_its_box(page: Page, served: Site) -> None:
    page.goto(f"{served.url}/en/manage")
    name = page.get_by_label("Newsletter & offers", exact=True)
    assert name.is_checked()
    page.get_by_text("Newsletter & offers").click()
    assert not name.is_checked()


@some_languages
def test_the_new_link_is_followed_by_keyboard(page: Page, served: Site, language: str) -> None:
    page.goto(f"{served.url}/{language}/renewed")
    _tab_to(page, "a")
    _press(page, "Enter")
    assert served.asked[-1] == RENEWED_URL


@pytest.mark.parametrize("dark", [False, True])
def test_the_ring_around_what_has_the_focus_stands_out(browser: Browser, served: Site, dark: bool) -> None:
    for name in ("manage", "renewed", "unsubscribed"):
        page = browser.new_page(color_scheme="dark" if dark else "light")
        page.goto(f"{served.url}/en/{name}")
        page.keyboard.press("Tab")
        ring = page.locator(":focus-visible").evaluate("element => getComputedStyle(element).outlineColor")
        behind = page.locator("main").evaluate("element => getComputedStyle(element).backgroundColor")
        assert _contrast(ring, behind) >= LEAST_CONTRAST
        page.close()


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        in_sight, ring, reached = page.evaluate(AT, selector)
        assert in_sight
        assert ring
        if reached:
            return
    raise AssertionError(f"{selector} is never reached")


def _press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
