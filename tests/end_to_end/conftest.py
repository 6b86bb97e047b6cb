"""Fixtures of the end-to-end tests: a marketer and a browser in front of a real house."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.campaign import Campaign
from tests.support.house import House
from tests.support.stubs import Stubs


@pytest.fixture
async def campaign(house: House) -> AsyncIterator[Campaign]:
    """A marketer, connected to the house's server."""
    stubs = Stubs(house.address)
    yield Campaign(stubs)
    await stubs.channel.close()


@pytest.fixture
async def browser(anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Something that opens URLs as a recipient does, and does not follow redirects."""
    async with httpx2.AsyncClient(timeout=20, headers={"user-agent": "Mozilla/5.0 (a test)"}) as client:
        yield client
