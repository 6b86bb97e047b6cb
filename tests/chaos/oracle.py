"""Keeps what recipients were told, outside of the system, and says what of it is lost, counted twice or has happened twice."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from redirect.token import Verifier, load
from tests.support.campaign import Campaign, person
from tests.support.house import House
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, embedded_crm_service_pb2, link_pb2

EVERY_CLICK, ONCE = link_pb2.REPEAT_POLICY_EVERY_CLICK, link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT
ACTING_EVERY = 8
"""One URL of so many belongs to the link whose clicks act on the CRM."""

STRANGER = 1_000_000
"""From here on nobody has a card: the link that only redirects needs none."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A URL that is clicked once: one recipient of one placement."""

    token: str
    placement_id: int
    person_id: int


class Oracle:
    """A mailing with two links, one that redirects and one that acts as well, and the URLs of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.answered: list[Ticket] = []
        """Redirected: counted exactly once, or the run fails."""
        self.unsure: list[Ticket] = []
        """Clicked, and no redirect came: counted once or not at all."""
        self.statuses: Counter[int] = Counter()
        """Answers that were no redirect."""
        self.links: list[int] = []
        self.placement_ids: set[int] = set()
        self._tickets: deque[Ticket] = deque()

    async def prepare(self, clicks: int) -> None:
        """Sends the mailing to so many recipients that each of so many clicks has a URL of its own."""
        persons = 20 + clicks // 1000
        async with connected(self.house) as campaign:
            user = await campaign.entry("USER", "User")
            cards = [await campaign.person(f"Person {number}", our_contact_id=user) for number in range(persons)]
            acting = await campaign.link("Acting", actions=_actions())
            plain = await campaign.link("Plain")
            self.links = [acting.id, plain.id]
            per_card = clicks // ACTING_EVERY // persons + 1
            acted = await self._send(campaign, acting.id, per_card, cards)
            redirected = await self._send(campaign, plain.id, 5, [STRANGER + number for number in range(clicks // 5 + 1)])
        while redirected:
            if len(redirected) % ACTING_EVERY == 0 and acted:
                self._tickets.append(acted.pop())
            self._tickets.append(redirected.pop())
        self.placement_ids = {ticket.placement_id for ticket in self._tickets}

    def next_ticket(self) -> Ticket | None:
        """A URL that nobody has clicked yet; None when there is none left."""
        return self._tickets.popleft() if self._tickets else None

    @property
    def tickets_left(self) -> int:
        """How many URLs nobody has clicked."""
        return len(self._tickets)

    async def counted(self) -> int:
        """How many clicks the links have by their counters."""
        async with connected(self.house) as campaign:
            return sum([(await campaign.counts(link_id))[0] for link_id in self.links])

    async def problems(self) -> list[str]:
        """What is lost, there twice, or there though nobody clicked; empty when all is as recipients were told."""
        async with connected(self.house) as campaign:
            found: list[str] = []
            clicks = {link_id: [click async for click in _clicks(campaign, link_id)] for link_id in self.links}
            for link_id, listed in clicks.items():
                counts = (await campaign.counts(link_id))[:2]
                if counts != (len(listed), len({click.recipient.person_id for click in listed})):
                    found.append(f"link {link_id} counts {counts}, and {len(listed)} clicks are listed")
            counted = Counter((click.placement_id, click.recipient.person_id) for listed in clicks.values() for click in listed)
            told = {(ticket.placement_id, ticket.person_id) for ticket in self.answered}
            maybe = {(ticket.placement_id, ticket.person_id) for ticket in self.unsure}
            found += [f"answered and lost: placement {key[0]}, person {key[1]}" for key in told if not counted[key]]
            found += [f"counted {times} times: placement {key[0]}, person {key[1]}" for key, times in counted.items() if times > 1]
            found += [f"nobody clicked: placement {key[0]}, person {key[1]}" for key in counted if key not in told | maybe]
            return found + await _wrong_effects(campaign, clicks[self.links[0]])

    async def _send(self, campaign: Campaign, link_id: int, placements: int, persons: list[int]) -> list[Ticket]:
        html = f'<a href="trackedlink:{link_id}">x</a>'.encode() * placements
        mailing = await campaign.mailing()
        await campaign.track(mailing.id, html)
        minted: list[list[str]] = []
        for start in range(0, len(persons), 1000):
            minted += await campaign.send(mailing.id, [person(each) for each in persons[start : start + 1000]])
        assert self.house.directory is not None
        verifier = Verifier(load(self.house.directory / "keys.json"))
        tickets = []
        for person_id, urls in zip(persons, minted, strict=True):
            for url in urls:
                token = url.rpartition("/")[2]
                claims = verifier.verify(token.encode())
                assert claims is not None
                tickets.append(Ticket(token, claims.placement_id, person_id))
        return tickets


class connected:  # noqa: N801
    """A campaign over a connection of its own to a house's server, for the block."""

    def __init__(self, house: House) -> None:
        self._stubs = Stubs(house.address)

    async def __aenter__(self) -> Campaign:
        return Campaign(self._stubs)

    async def __aexit__(self, *_: object) -> None:
        await self._stubs.channel.close()


async def _wrong_effects(campaign: Campaign, clicks: list[Any]) -> list[str]:
    """Every click makes a service request, and the first one of each person a follow-up."""
    crm = campaign.stubs.embedded_crm
    requests = Counter([each.click_id async for each in _pages(crm.ListServiceRequests, _REQUESTS, "service_requests")])
    found = [f"service request of click {click.id}: {requests[click.id]} times" for click in clicks if requests[click.id] != 1]
    found += [f"service request of an unknown click {click_id}" for click_id in requests.keys() - {click.id for click in clicks}]
    once = Counter([each.person_id async for each in _pages(crm.ListFollowUps, _FOLLOW_UPS, "follow_ups")])
    persons = {click.recipient.person_id for click in clicks}
    return found + [f"follow-up of person {each}: {once[each]} times" for each in persons | once.keys() if once[each] != (each in persons)]


_REQUESTS, _FOLLOW_UPS = embedded_crm_service_pb2.ListServiceRequestsRequest, embedded_crm_service_pb2.ListFollowUpsRequest


def _clicks(campaign: Campaign, link_id: int) -> AsyncIterator[Any]:
    return _pages(campaign.stubs.clicks.ListClicks, click_service_pb2.ListClicksRequest, "clicks", link_id=link_id)


async def _pages(call: Any, request_type: Any, field: str, **filters: Any) -> AsyncIterator[Any]:
    request = request_type(page_size=1000, **filters)
    while True:
        page = await call(request)
        for each in getattr(page, field):
            yield each
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def _actions() -> list[link_pb2.LinkAction]:
    request = link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help"), repeat_policy=EVERY_CLICK)
    call = link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, description="Call", assign_to_our_contact=True)
    return [request, link_pb2.LinkAction(follow_up=call, repeat_policy=ONCE)]
