"""Tracking a message: which of its addresses become placements, and which stay as they are and why."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from server.messages.find import INSERTED, FoundAddress, find_links
from server.messages.part import Part
from server.messages.template import MergeField, Segment, Slot, field_names, segments_of
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.ids import MAX_ID
from server.model.link import Redirect, Response
from server.model.mailing import LeftAloneReason, MessagePart, Placement, PlacementKind
from server.model.url_fields import problem_of_url, url_fields
from server.store.mailings import MailingStore
from server.store.messages import MessageStore, StoredMessage, Use

MOST_BYTES = 2 * 1024 * 1024
MOST_ANSWER_BYTES = 3_500_000
MOST_PLACES = 2000
"""Addresses of a message, and merge fields of it: the answer of TrackMessage names each, and clients take 4 MiB."""

MOST_NAMED = 100
"""Unknown links that an error names."""

_SPECIAL = {kind.name.replace("_", "-"): kind for kind in PlacementKind if kind is not PlacementKind.link}
_ID = re.compile(r"[1-9][0-9]{0,18}")
_CHARSET = re.compile(r"utf-8|us-ascii|iso-8859-(?:[1-9]|1[0-6])|windows-125[0-8]")
"""Character sets in which every byte of HTML's own syntax means what it does in ASCII, so that offsets are bytes."""


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """An address that stays as it is."""

    part: MessagePart
    offset: int
    url: str
    reason: LeftAloneReason


@dataclass(frozen=True, slots=True)
class Tracked:
    """An address that became a placement; `local` = its link was made for this mailing, which a special link has none of."""

    placement: Placement
    local: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Template:
    """A message with places for what differs from recipient to recipient."""

    charset: str
    html: Sequence[Segment]
    text: Sequence[Segment]
    kept_fields: Sequence[str] = ()
    unsubscribe_placement_id: int = 0


@dataclass(frozen=True, slots=True)
class TrackedMessage:
    """What tracking a message gave."""

    template: Template
    tracked: Sequence[Tracked]
    left_alone: Sequence[LeftAlone]


class Tracking:
    """The use case of TrackMessage. Blocks; errors are those that the contract names."""

    def __init__(self, mailings: MailingStore, messages: MessageStore, clock: Callable[[], datetime]) -> None:
        self._mailings = mailings
        self._messages = messages
        self._clock = clock

    def track(self, mailing_id: int, html: bytes, text: bytes, charset: str, user: int) -> TrackedMessage:
        """Finds the links of a mailing's message, makes placements and local links, and keeps the message."""
        charset = _check(html, text, charset)
        track_all = self._mailings.get(mailing_id).track_all_links
        found = [(MessagePart.html, address) for address in find_links(Part.html, html, charset)]
        found += [(MessagePart.text, address) for address in find_links(Part.text, text, charset)]
        if len(found) > MOST_PLACES:
            raise _too_many("addresses", len(found))
        inserted = self._inserted(found, html, text)
        uses = [_use(part, at) for part, at in found if _reason(at, track_all) is None]
        left_alone = [LeftAlone(part, at.start, at.url[:200], why) for part, at in found if (why := _reason(at, track_all)) is not None]
        _refuse_large_answer(len(html) + len(text), uses)
        message = StoredMessage(charset, html, text, [(use.part, use.start, use.end, 0) for use in uses])
        template = template_of(message)
        _check_fields(template)
        message = replace(message, kept_fields=_kept_fields(template, uses, inserted))
        made = self._messages.track(mailing_id, message, uses, user, self._clock())
        tracked = [Tracked(placement, use.is_local, use.start) for use, placement in zip(uses, made.placements, strict=True)]
        return TrackedMessage(template_of(made.message), tracked, left_alone)

    def _inserted(self, found: Sequence[tuple[MessagePart, FoundAddress]], html: bytes, text: bytes) -> Mapping[int, Response]:
        """The registered links that are inserted in the message, and what each is answered by.

        Raises MESSAGE_LINK_UNKNOWN, with line and column, for every trackedlink: address that names no registered or special link.
        """
        named = [(part, at, _registered_id(at.url)) for part, at in found if at.left_alone is None and _is_inserted(at.url)]
        known = self._messages.registered({link_id for *_, link_id in named if link_id}) if named else {}
        contents = {MessagePart.html: html, MessagePart.text: text}
        unknown = [
            Violation(part.name, f"{_place(contents[part], at.start)}: there is no registered link {at.url[:60]!r}")
            for part, at, link_id in named
            if link_id not in known and _special(at.url) is None
        ][:MOST_NAMED]
        if unknown:
            raise DomainError(Reason.message_link_unknown, f"{unknown[0].field}, {unknown[0].description}", unknown)
        return known


def template_of(message: StoredMessage) -> Template:
    """The message as segments."""
    slots = {part: [Slot(start, end, placement_id) for of, start, end, placement_id in message.slots if of is part] for part in MessagePart}
    html = segments_of(Part.html, message.html, slots[MessagePart.html], message.charset)
    text = segments_of(Part.text, message.text, slots[MessagePart.text], message.charset)
    return Template(message.charset, html, text, message.kept_fields, message.unsubscribe_placement_id)


def _check(html: bytes, text: bytes, charset: str) -> str:
    """The charset by its one name. Raises INVALID_FIELD and MESSAGE_TOO_LARGE."""
    name, size = (charset or "utf-8").lower(), len(html) + len(text)
    problems = []
    if not _CHARSET.fullmatch(name) or name == "iso-8859-12":
        problems.append(Violation("charset", f"must be utf-8, us-ascii, iso-8859-1 to -16 or windows-1250 to -1258, not {charset[:60]!r}"))
    if not size:
        problems.append(Violation("html", "html or text must be given"))
    if problems:
        raise invalid(*problems)
    if size > MOST_BYTES:
        raise _too_large("html" if len(html) > len(text) else "text", f"html and text must be at most {MOST_BYTES:,} bytes, not {size:,}")
    return name


def _refuse_large_answer(size: int, uses: Sequence[Use]) -> None:
    """Raises MESSAGE_TOO_LARGE when the addresses, in UTF-8, make the answer larger than clients take."""
    answer = size + sum(len(use.url.encode("utf-8", "replace")) + 100 - (use.end - use.start) for use in uses)
    if answer > MOST_ANSWER_BYTES:
        raise _too_large("html", f"in UTF-8, message and addresses must be at most {MOST_ANSWER_BYTES:,} bytes, not {answer:,}")


def _check_fields(template: Template) -> None:
    fields = sum(isinstance(segment, MergeField) for segments in (template.html, template.text) for segment in segments)
    if fields > MOST_PLACES:
        raise _too_many("merge fields", fields)


def _too_many(what: str, number: int) -> DomainError:
    return _too_large("html", f"html and text may hold at most {MOST_PLACES:,} {what}, not {number:,}")


def _too_large(field: str, problem: str) -> DomainError:
    return DomainError(Reason.message_too_large, problem, [Violation(field, problem)])


def _reason(at: FoundAddress, track_all: bool) -> LeftAloneReason | None:
    if at.left_alone is not None:
        return at.left_alone
    if not _is_inserted(at.url) and problem_of_url(at.url):  # a link with such a URL could be neither followed nor read
        return LeftAloneReason.invalid_url
    return None if track_all or _is_inserted(at.url) else LeftAloneReason.not_registered


def _use(part: MessagePart, at: FoundAddress) -> Use:
    kind = _special(at.url) or PlacementKind.link
    return Use(part, at.start, at.end, at.url, _registered_id(at.url), kind)


def _kept_fields(template: Template, uses: Sequence[Use], inserted: Mapping[int, Response]) -> list[str]:
    """The merge fields whose values are read after the mail is sent: when URLs are clicked, and when the message is viewed online."""
    names: dict[str, None] = {}
    for use in uses:
        answer = inserted.get(use.link_id)
        url = use.url if use.is_local else answer.url if isinstance(answer, Redirect) else ""
        names |= dict.fromkeys(url_fields(url))
    if any(use.kind is PlacementKind.view_online for use in uses):
        names |= dict.fromkeys(field_names(template.html or template.text))
    names.pop("mailing.name", None)  # known without the recipient
    return list(names)


def _is_inserted(url: str) -> bool:
    return url[: len(INSERTED)].lower() == INSERTED


def _special(url: str) -> PlacementKind | None:
    return _SPECIAL.get(url[len(INSERTED) :].lower()) if _is_inserted(url) else None


def _registered_id(url: str) -> int:
    """The id of an inserted registered link; 0 for any other address."""
    digits = url[len(INSERTED) :] if _is_inserted(url) else ""
    return int(digits) if _ID.fullmatch(digits) and int(digits) <= MAX_ID else 0


def _place(content: bytes, offset: int) -> str:
    before = content[:offset]
    return f"line {before.count(10) + 1}, column {offset - before.rfind(10)}"
