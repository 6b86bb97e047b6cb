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

ACTING_PLACEMENTS, PLAIN_PLACEMENTS = 20, 5
"""Uses of each link in its mailing."""

FEW = 3000
"""URLs that are clicked in some seconds."""

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
        self._mailings: list[int] = []
        self._user = self._strangers = 0

    async def prepare(self) -> None:
        """Makes the links, and a mailing of each."""
        async with connected(self.house) as campaign:
            self._user = await campaign.entry("USER", "User")
            for name, actions, placements in (("Acting", _actions(), ACTING_PLACEMENTS), ("Plain", [], PLAIN_PLACEMENTS)):
                link = await campaign.link(name, actions=actions)
                mailing = await campaign.mailing()
                await campaign.track(mailing.id, f'<a href="trackedlink:{link.id}">x</a>'.encode() * placements)
                self.links.append(link.id)
                self._mailings.append(mailing.id)

    async def send(self, clicks: int) -> None:
        """Sends the mailings to so many more recipients that each of so many more clicks has a URL of its own."""
        async with connected(self.house) as campaign:
            cards = [
                await campaign.person("Person", our_contact_id=self._user) for _ in range(clicks // ACTING_EVERY // ACTING_PLACEMENTS + 1)
            ]
            strangers = [STRANGER + self._strangers + number for number in range(clicks // PLAIN_PLACEMENTS + 1)]
            self._strangers += len(strangers)
            acting, plain = [await self._sent(campaign, *each) for each in zip(self._mailings, (cards, strangers), strict=True)]
        while plain:
            if len(plain) % ACTING_EVERY == 0 and acting:
                self._tickets.append(acting.pop())
            self._tickets.append(plain.pop())

    async def send_more(self) -> None:
        """Sees to it that there are URLs for a while; the server must be there."""
        if len(self._tickets) < FEW:
            await self.send(2 * FEW)

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

    async def _sent(self, campaign: Campaign, mailing_id: int, persons: list[int]) -> list[Ticket]:
        verifier = Verifier(load(self.house.directory / "keys.json"))
        tickets = []
        for start in range(0, len(persons), 1000):
            some = persons[start : start + 1000]
            for person_id, urls in zip(some, await campaign.send(mailing_id, [person(each) for each in some]), strict=True):
                for token in (url.rpartition("/")[2] for url in urls):
                    claims = verifier.verify(token.encode())
                    assert claims is not None
                    self.placement_ids.add(claims.placement_id)
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
