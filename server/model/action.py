"""A link action: what a click makes happen. Each kind is a class in server/actions/, and they are joined to one union there."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

from sqlmodel import SQLModel

from server.model.crm import Catalog, Contact
from server.model.effects import Effect
from server.model.ids import OptionalId


class RepeatPolicy(StrEnum):
    """How often an action runs for one recipient. Every click counts all the same."""

    once_per_recipient = "once_per_recipient"
    once_per_recipient_and_mailing = "once_per_recipient_and_mailing"
    every_click = "every_click"


class ActionState(IntEnum):
    """What became of an action of a click; stored, so the numbers stay."""

    done = 1
    skipped = 2
    failed = 3
    waiting = 4
    retrying = 5
    dead = 6


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What became of one action of a click, and why, in words a marketer understands."""

    action_id: int
    state: ActionState
    reason: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class TestedAction:
    """What an action would do for a click now: what would become of it, and its effects in words."""

    action: "LinkAction"
    state: ActionState
    reason: str
    effects: list[str]


@dataclass(slots=True)
class Occasion:
    """What an action knows of the click that it runs for. A recipient who is no known person is one without a name, or without an id."""

    click_id: str
    action_id: int
    time: datetime
    person: Contact
    link_id: int
    link_name: str
    mailing_id: int
    mailing_name: str

    @property
    def key(self) -> str:
        """What names this action of this click for ever, for systems that must not do it twice. No dot: it is part of what is signed."""
        return f"{self.click_id}_{self.action_id}"

    def of(self, person: Contact) -> "Occasion":
        """The same with what is known of the person now."""
        return replace(self, person=person)

    def fill(self, text: str) -> str:
        """The text with its text fields filled in, unescaped."""
        return fill_text(text, self.text_fields()) if "{{" in text else text

    def text_fields(self) -> dict[str, str]:
        """The text fields by name."""
        return text_fields(self.person.name, self.link_name, self.mailing_name, self.time)


class ActionKind(SQLModel):
    """What every kind of action is: its fields, the ids it needs to exist, and its effects for one click."""

    default_policy: ClassVar[RepeatPolicy] = RepeatPolicy.every_click
    needs_person: ClassVar[bool] = True
    """Whether it is about a registered person. What is, happens in the CRM; what is not, may leave for elsewhere."""
    never_sent: ClassVar[frozenset[str]] = frozenset()
    """Fields that are stored and that no caller sees."""

    tag: str

    @abstractmethod
    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """Every id of the CRM that it names, with the path of its field and its catalogue."""

    @abstractmethod
    def effects(self, occasion: Occasion) -> Iterable[Effect]:
        """What is to happen for this click, in order."""

    def refusal(self, contact: Contact) -> str:
        """Why it cannot happen for this person, in words a marketer understands; empty when it can."""
        return ""

    def script(self) -> tuple[int, int] | None:
        """The script that runs for it, and its version (0 = the newest), or None when none does."""
        return None

    def field_set(self) -> tuple[str, bool] | None:
        """The extra field that it sets on the person's card, and whether to a value; None when it sets none."""
        return None

    def receivers(self) -> Iterator[tuple[str, str]]:
        """Every address of another system that it sends to, with the path of its field."""
        return iter(())

    def stored(self, before: "ActionKind | None", now: datetime) -> Self:
        """What is stored of it when a link is saved at this time; `before` is what stood there. Raises ValueError when it cannot be."""
        return self

    def only_removals(self) -> "ActionKind | None":
        """The part of it that lets a do-not-track recipient leave, or None when there is none."""
        return None


if TYPE_CHECKING:
    AnyKind = ActionKind


class LinkAction(SQLModel):
    """One action of a link; its id is given by the server and outlives edits, so that repeat policies remember."""

    id: OptionalId = 0
    repeat_policy: RepeatPolicy | None = None
    kind: "AnyKind"

    @property
    def policy(self) -> RepeatPolicy:
        """The repeat policy in force: the kind's default where none was chosen."""
        return self.repeat_policy or self.kind.default_policy


def text_fields(recipient_name: str, link_name: str, mailing_name: str, time: datetime) -> dict[str, str]:
    """The text fields that custom texts and actions may use, by name."""
    return {
        "recipient.name": recipient_name,
        "link.name": link_name,
        "mailing.name": mailing_name,
        "click.time": f"{time.isoformat(' ', 'minutes')[:16]} UTC",
    }


def fill_text(text: str, fields: dict[str, str]) -> str:
    """The text with every known {{field}} replaced in one pass, so that a value that looks like a field stays as it is."""
    if "{{" not in text:
        return text
    pieces = text.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, closed, rest = piece.partition("}}")
        value = fields.get(name.strip()) if closed else None
        filled.append("{{" + piece if value is None else value + rest)
    return "".join(filled)
