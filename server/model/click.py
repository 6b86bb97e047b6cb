"""A stored visit to a tracked URL, and who clicked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

from sqlmodel import Field, SQLModel

from server.model.action import ActionOutcome, ActionState
from server.model.crm import Catalog, CatalogEntry, Person
from server.model.ids import NOBODY
from server.model.mailing import PlacementKind
from server.model.script import ScriptDecision

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Verdict(IntEnum):
    """Whose click it was, as far as can be told; stored, so the numbers stay. Only a human's counts."""

    human = 1
    head = 2
    prefetch = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a click. Many clicks share one: it is a key of what is remembered."""

    method: str = "GET"
    prefetch: bool = False
    user_agent: str = ""

    def cleaned(self) -> "Evidence":
        """The same as it is stored: method in capitals, user agent without control characters and at most 1,024 characters long."""
        return Evidence(
            method=_CONTROL.sub("", self.method).upper() or "GET",
            prefetch=self.prefetch,
            user_agent=_CONTROL.sub("", self.user_agent)[:1024],
        )

    def without_user_agent(self) -> "Evidence":
        """What is written down where somebody is not to be tracked: what counting needs."""
        return Evidence(self.method, self.prefetch)


def verdict_of(evidence: Evidence) -> Verdict:
    """Whose click the evidence speaks for. A HEAD request never fetches for a reader; a prefetch may never be looked at."""
    if evidence.method == "HEAD":
        return Verdict.head
    if evidence.prefetch:
        return Verdict.prefetch
    return Verdict.human


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a click has waited for: what its scripts decided, by action, and the recipient's card in a remote CRM (None: not to be had).

    `final` = True has it recorded with what it has: it is not to wait again.
    """

    decisions: Mapping[int, ScriptDecision] = field(default_factory=dict)
    card: Person | None = None
    final: bool = False


@dataclass(slots=True)
class SeenClick:
    """A click that is to be recorded: its id, what its token says, and what was seen of it. Frozen ones take longer to make."""

    id: bytes
    placement_id: int
    recipient: int
    test: bool
    do_not_track: bool
    evidence: Evidence
    replayed: bool = False
    prepared: Prepared | None = None

    @property
    def verdict(self) -> "Verdict":
        """Whose click it is, as far as can be told."""
        return verdict_of(self.evidence)

    @property
    def identity(self) -> int:
        """Who is written down as the one who clicked: a do-not-track recipient is written nowhere."""
        return NOBODY if self.do_not_track else self.recipient

    @property
    def progress(self) -> int:
        """How far it is: 0 = it has waited for nothing yet, 2 = it is to be recorded with what it has."""
        return 0 if self.prepared is None else 2 if self.prepared.final else 1

    def is_same(self, other: "SeenClick") -> bool:
        """Whether another one with its id has the same token; of who is not to be tracked front doors keep one for nobody."""
        if self is other:
            return True
        mine = (self.placement_id, self.identity, self.test, self.do_not_track)
        return mine == (other.placement_id, other.identity, other.test, other.do_not_track)

    @property
    def microseconds(self) -> int:
        """When it happened: the time in its id, in microseconds since 1970."""
        return int.from_bytes(self.id[:6], "big") * 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a click is answered by, as it is stored: an ASCII location to redirect to, or the text of a page before it is filled in.

    `form` is a URL that is filled in for the recipient each time: what was filled in is stored nowhere. `brought` = True: with what the
    recipient brought (merge fields); else with what is known of the recipient.
    """

    location: str = ""
    text: str = ""
    form: str = ""
    brought: bool = False


class Click(SQLModel):
    """A stored visit to a tracked URL."""

    id: str
    placement_id: int
    link_id: int
    mailing_id: int
    recipient: int = NOBODY
    verdict: Verdict
    evidence: Evidence
    test: bool
    actions: list[ActionOutcome] = Field(default_factory=list)

    @property
    def time(self) -> datetime:
        """When it happened: the time in its id."""
        return click_time(bytes.fromhex(self.id.replace("-", "")))


@dataclass(frozen=True, slots=True)
class SpecialLink:
    """A special link was opened: no click, and nothing is stored."""

    kind: PlacementKind


class Clicker(SQLModel):
    """A recipient with at least one counted click, on a link in a mailing (link_id 0: on any link of the mailing)."""

    recipient: int
    mailing_id: int
    link_id: int
    clicks: int
    first_click_time: datetime
    last_click_time: datetime


@dataclass(frozen=True, slots=True)
class ActionRun:
    """What became of one action of one click."""

    click_id: str
    position: int
    action_id: int
    link_id: int
    mailing_id: int
    recipient: int
    click_time: datetime
    state: ActionState
    reason: str
    attempts: int = 0
    next_attempt_time: datetime | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Another system for which action runs are left, and how many in which state."""

    address: str
    waiting_count: int
    retrying_count: int
    dead_count: int
    oldest_click_time: datetime
    last_error: str


@dataclass(frozen=True, slots=True)
class ClickerTarget:
    """What clickers are to become members of: an existing entry of a catalogue, or a new one of a name."""

    catalog: Catalog
    entry_id: int = 0
    new_name: str = ""


@dataclass(frozen=True, slots=True)
class AddedClickers:
    """What adding clickers did; `skipped` are the first of those who are no registered persons, as recipient numbers."""

    target: CatalogEntry
    added_count: int
    present_count: int
    skipped_count: int
    skipped: list[int]


def click_time(click_id: bytes) -> datetime:
    """The time in a UUIDv7: its first 48 bits are milliseconds since 1970. Source: RFC 9562, 5.7."""
    return datetime.fromtimestamp(click_seconds(click_id), UTC)


def click_seconds(click_id: bytes) -> float:
    """The same in seconds since 1970: 48 bits reach further than a datetime does."""
    return int.from_bytes(click_id[:6], "big") / 1000


def click_text(click_id: bytes) -> str:
    """A click id in its usual spelling."""
    digits = click_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
