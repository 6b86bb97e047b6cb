"""Every click that was answered in the mixed load, outside of the system, by what must be stored of it."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from tests.soak.subjects import Ticket

LIVE_SECONDS = 0.2
"""What was answered sooner is either stored, or was given to the journal alone."""
LATE_SECONDS = 60.0
"""For so long a click that was answered late may still be on its way to the server as a live one, which no reset before it removes."""

Key = tuple[int, str, str, bool]
"""What clicks are told apart by: placement, recipient, verdict, test."""
PersonMailing = tuple[int, int]


@dataclass(slots=True)
class _Link:
    """Clicks on one link since its last reset: those that must be stored, and those that may be."""

    sure: Counter[Key] = field(default_factory=Counter)
    maybe: Counter[Key] = field(default_factory=Counter)
    late: "deque[tuple[float, Key]]" = field(default_factory=deque)
    reset_ended: float = 0.0
    resetting: bool = False


@dataclass(slots=True)
class Ledger:
    """What recipients were told."""

    links: dict[int, _Link] = field(default_factory=lambda: defaultdict(_Link))
    acted: Counter[PersonMailing] = field(default_factory=Counter)
    """Clicks on the link that acts, by those for whom all of its actions run: person and mailing."""
    left: Counter[int] = field(default_factory=Counter)
    """Clicks on it by do-not-track persons: of its actions only the removal runs."""
    events: int = 0
    """Clicks on it that send an event."""
    unscripted: list[str] = field(default_factory=list)
    """Recipients of a script's link who were sent where its script would not have sent them, though the server was there."""
    clicks: int = 0

    def told(self, ticket: Ticket, verdict: str, asked: float, answered: float) -> None:
        """Somebody was answered: exactly one click is stored, or by a reset at the same time none."""
        link, person = self.links[ticket.subject.link_id], ticket.person
        key = (ticket.placement_id, person.identity, verdict, person.test)
        self.clicks += 1
        if link.resetting or asked < link.reset_ended:
            link.maybe[key] += 1
            return
        link.sure[key] += 1
        if answered - asked > LIVE_SECONDS:
            link.late.append((answered, key))
            while link.late[0][0] < answered - LATE_SECONDS:
                link.late.popleft()

    def told_nothing(self, ticket: Ticket, verdict: str) -> None:
        """Somebody asked and got no answer: the click is stored once or not at all."""
        key = (ticket.placement_id, ticket.person.identity, verdict, ticket.person.test)
        self.links[ticket.subject.link_id].maybe[key] += 1

    def acts(self, ticket: Ticket) -> None:
        """A human's click on the link that acts, by no test, was answered."""
        person = ticket.person
        if person.do_not_track:
            if person.person_id:
                self.left[person.person_id] += 1
            return
        self.events += 1
        if person.person_id:
            self.acted[person.person_id, ticket.mailing_id] += 1

    def forget_one(self) -> None:
        """Forgets that somebody was answered: a control, by which a comparison has to find a click too many."""
        link = next(link for link in self.links.values() if link.sure)
        link.sure.subtract([next(link.sure.elements())])

    def begin_reset(self, link_id: int, now: float) -> None:
        """A reset is about to be sent: what was answered before it is gone, unless it is still on its way."""
        link = self.links[link_id]
        link.sure.clear()
        link.maybe = Counter(key for answered, key in link.late if answered > now - LATE_SECONDS)
        link.late.clear()
        link.resetting = True

    def end_reset(self, link_id: int, now: float) -> None:
        """It is acknowledged."""
        link = self.links[link_id]
        link.resetting, link.reset_ended = False, now

    def differences(self, link_id: int, stored: Counter[Key]) -> list[str]:
        """What of a link's clicks is lost, and what is there though nobody was told of it, or twice."""
        link, found = self.links[link_id], []
        for key in link.sure.keys() | stored.keys():
            least, most = link.sure[key], link.sure[key] + link.maybe[key]
            if not least <= stored[key] <= most:
                what = "lost" if stored[key] < least else "too many"
                found.append(f"link {link_id}, placement {key[0]}, {key[1:]}: {what}, {stored[key]} instead of {least}")
        return found
