"""The links of the mixed load, and where each of their recipients must be sent: what the oracle knows of answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.visits import Visited
from trackedlinks.v1 import link_pb2

STALE_SECONDS = 3.0
"""An answer may have come from the front door's snapshot, which hears of an edit within about a second; nobody sees that from outside."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who gets mailings: with a card (`person_id`), by address alone, or nobody at all."""

    person_id: int = 0
    email: str = ""
    test: bool = False
    do_not_track: bool = False

    @property
    def name(self) -> str:
        """As it stands on the card."""
        return f"Person {self.email}" if self.person_id else ""

    @property
    def code(self) -> str:
        """What they bring for the merge field `code`; nothing is kept for nobody."""
        return self.email.partition("@")[0]

    @property
    def identity(self) -> str:
        """What stored clicks say of them."""
        return "" if self.do_not_track else f"person {self.person_id}" if self.person_id else self.email


@dataclass(frozen=True, slots=True)
class Ticket:
    """A tracked URL: one recipient of one use of a link in one mailing."""

    token: str
    placement_id: int
    mailing_id: int
    person: Person
    subject: "Subject"


@dataclass(slots=True)
class _Version:
    number: int
    sent: float
    acknowledged: float = math.inf


@dataclass(slots=True)
class Subject:
    """A link, and all it has been since the start. `kind`: plain, acting, field, form, text, script or local; `name` is in its URLs."""

    kind: str
    name: str
    link_id: int = 0
    versions: list[_Version] = field(default_factory=list)

    @property
    def next_number(self) -> int:
        """The number of the next version."""
        return self.versions[-1].number + 1 if self.versions else 1

    def response(self, number: int) -> Mapping[str, Any]:
        """The link's response in this version, as a field of Link."""
        match self.kind:
            case "field":
                return {"redirect": link_pb2.Redirect(url=f"https://example.com/{self.name}/{number}?code={{{{code}}}}&x")}
            case "form":
                return {"form": link_pb2.Form(url=f"https://example.com/{self.name}/{number}?email={{{{recipient.email}}}}&x")}
            case "text":
                return {"custom_text": link_pb2.CustomText(html=f"<p>Version {number} for {{{{recipient.name}}}}.</p>")}
        return {"redirect": link_pb2.Redirect(url=f"https://example.com/{self.name}/{number}")}

    def begin_edit(self, now: float) -> int:
        """A new version is about to be sent; its number."""
        number = self.next_number
        self.versions.append(_Version(number, now))
        return number

    def end_edit(self, now: float) -> None:
        """It is acknowledged: from now on nobody gets the one before."""
        self.versions[-1].acknowledged = now
        del self.versions[:-100]  # no click is under way for so long

    def is_right(self, got: Visited, ticket: Ticket, runs: bool, asked: float, answered: float, away: bool) -> bool:
        """Whether a recipient may have got this. `runs`: scripts do. `away`: nothing could be asked meanwhile."""
        if got.status != (200 if self.kind == "text" else 302):
            return False
        since = asked - STALE_SECONDS
        ends = [version.acknowledged for version in self.versions[1:]] + [math.inf]
        numbers = [version.number for version, end in zip(self.versions, ends, strict=True) if version.sent <= answered and end >= since]
        persons = [ticket.person, Person()] if away else [ticket.person]
        return any(self._is(got, number, person, ticket, runs) for number in numbers for person in persons)

    def _is(self, got: Visited, number: int, person: Person, ticket: Ticket, runs: bool) -> bool:
        match self.kind:
            case "field":
                return got.location == f"https://example.com/{self.name}/{number}?code={person.code}&x"
            case "form":
                return got.location == f"https://example.com/{self.name}/{number}?email={person.email.replace('@', '%40')}&x"
            case "text":
                return not got.location and (f"Version {number} for {person.name}." in got.page or not got.page)
            case "script" if runs and person is ticket.person:
                return got.location == f"https://example.com/scripted/{person.person_id}/{ticket.mailing_id}"
            case "local":
                return got.location == f"https://example.com/local/{number}/{ticket.mailing_id}"
        return got.location == f"https://example.com/{self.name}/{number}"


SCRIPT = "returnUrl = 'https://example.com/scripted/' + str(custId) + '/' + str(shipmentId)"
"""What the link of kind `script` runs."""
