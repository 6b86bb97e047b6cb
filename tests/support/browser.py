"""A real Chromium without a window, for what only a browser can say: pictures, the DOM, keyboards, contrast."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowserError(Exception):
    """There is no Chromium; the message says what to install."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, until the block ends. Raises NoBrowserError."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise NoBrowserError("Chromium is needed and not there: install it, on Debian with `apt-get install chromium`")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--hide-scrollbars"])
        except Error as error:
            raise NoBrowserError(f"{path} does not start: {error.message.splitlines()[0]}") from None
        try:
            yield browser
        finally:
            browser.close()
