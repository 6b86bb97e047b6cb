"""Fixtures of the tests that look at recipients' pages with a real browser: `make pages`; `make test` leaves them out."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.pages import site
from tests.support.browser import NoBrowserError, chromium


def pytest_configure(config: pytest.Config) -> None:
    """Ends the run with a sentence, once and not in every worker, when there is no Chromium that starts."""
    if not hasattr(config, "workerinput"):
        try:
            with chromium():
                pass
        except NoBrowserError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for each worker."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def whole_site() -> Iterator[site.Site]:
    """One site for the whole run."""
    with site.serving() as serving:
        yield serving


@pytest.fixture
def served(whole_site: site.Site) -> site.Site:
    """The site, which has forgotten what other tests asked."""
    whole_site.forget()
    return whole_site
