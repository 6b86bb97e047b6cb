"""How the pages look: axe-core, light and dark, on phones and large screens, with text twice as large; pictures go to var/pages/."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from redirect.languages import LANGUAGES
from tests.pages.site import Site
from tests.support.recipient_pages import PAGES

PICTURES = Path(__file__).parents[2] / "var" / "pages"
WIDTHS = (320, 1280)
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]
TOUCHED = "button, .button, label"
SMALLEST = 44
"""CSS pixels, high and wide, of what a finger is to hit (WCAG 2.5.5)."""

SMALLER = """(elements, size) => elements.map(element => element.getBoundingClientRect())
  .filter(box => box.height < size || box.width < size)"""

OVERFLOWING = """() => [document.documentElement, ...document.querySelectorAll('body *:not(.quiet, input)')].filter(element => {
  const box = element.getBoundingClientRect();
  const wider = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display != 'inline';
  return wider || box.right > innerWidth + 0.5 || box.left < -0.5;
}).map(element => element.outerHTML.slice(0, 200))"""
"""What reaches beyond the window, or beyond the element around it."""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page for all these tests, which open what they look at; axe-core can only be put in without the policy."""
    page = browser.new_page(bypass_csp=True)
    yield page
    page.close()


@pytest.mark.parametrize(("name", "language"), list(zip(PAGES, cycle(LANGUAGES))))
def test_axe_finds_nothing_to_mend_in_light_or_dark(page: Page, served: Site, name: str, language: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.goto(f"{served.url}/{language}/{name}")
    for scheme, width in zip(SCHEMES, WIDTHS, strict=True):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 640})
        page.screenshot(path=PICTURES / f"{name}-{language}-{scheme}.png", full_page=True)
        assert Axe().run(page).response["violations"] == []


def test_axe_and_the_ruler_do_find_what_is_wrong(page: Page, served: Site) -> None:
    page.goto(f"{served.url}/trouble")
    assert {"landmark-one-main", "page-has-heading-one"} <= {found["id"] for found in Axe().run(page).response["violations"]}
    assert page.evaluate(OVERFLOWING) == []
    page.locator("p").evaluate("element => { element.textContent = 'x'.repeat(999) }")
    assert page.evaluate(OVERFLOWING) != []
    page.locator("p").evaluate("element => { element.className = 'button'; element.textContent = '' }")
    assert page.locator(TOUCHED).evaluate_all(SMALLER, SMALLEST) != []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_everything_fits_the_window_also_with_text_twice_as_large(page: Page, served: Site, name: str, language: str) -> None:
    page.goto(f"{served.url}/{language}/{name}")
    _measure(page)
    size = page.locator("p, .message").first.evaluate("element => parseFloat(getComputedStyle(element).fontSize)")
    page.add_style_tag(content="html { font-size: 200% }")
    assert page.locator("p, .message").first.evaluate("element => parseFloat(getComputedStyle(element).fontSize)") == 2 * size
    _measure(page)


def _measure(page: Page) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate(OVERFLOWING) == [], width
        assert page.locator(TOUCHED).evaluate_all(SMALLER, SMALLEST) == [], width
