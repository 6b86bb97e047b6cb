"""What a house has stored, to be compared with what it answered."""

import asyncio

from tests.support.house import House
from tests.support.stubs import Stubs
from trackedlinks.v1 import mailing_service_pb2


def stored(house: House) -> int:
    """Clicks that the server counts in all its mailings, suspected ones with them."""
    return asyncio.run(_stored(house))


async def _stored(house: House) -> int:
    stubs = Stubs(house.address)
    mailings = (await stubs.mailings.ListMailings(mailing_service_pb2.ListMailingsRequest(page_size=1000))).mailings
    await stubs.channel.close()
    return sum(mailing.counts.clicks + mailing.counts.suspected for mailing in mailings)
