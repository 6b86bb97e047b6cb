"""Messages and recipients' results as they go over the wire, where names alone do not say how."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.messages.template import Literal, MergeField, PlacementSlot, Segment
from server.model.errors import Violation
from server.model.mailing import CountedMailing, MailingLink, Recipient
from server.rendering import Press, Rendered
from server.rpc import wire
from server.rpc.recipients import checked, error_of, until_full
from server.tracking import TrackedMessage
from server.urls import Mint
from trackedlinks.v1 import mailing_pb2, mailing_service_pb2


def mailing(found: CountedMailing) -> mailing_pb2.Mailing:
    """A mailing with its figures."""
    return wire.to_message(found, mailing_pb2.Mailing)


def mailing_link(found: MailingLink) -> mailing_service_pb2.MailingLink:
    """A link as it stands in one mailing."""
    return wire.to_message(found, mailing_service_pb2.MailingLink)


def tracked_message(message: TrackedMessage) -> mailing_service_pb2.TrackMessageResponse:
    """What tracking a message gave."""
    made = message.template
    template = mailing_pb2.MessageTemplate(
        html=map(_segment, made.html),
        text=map(_segment, made.text),
        charset=made.charset,
        kept_fields=made.kept_fields,
        unsubscribe_placement_id=made.unsubscribe_placement_id,
    )
    return mailing_service_pb2.TrackMessageResponse(
        template=template,
        tracked=[wire.to_message(address, mailing_service_pb2.TrackedAddress) for address in message.tracked],
        left_alone=[wire.to_message(address, mailing_service_pb2.UntrackedAddress) for address in message.left_alone],
    )


@dataclass(frozen=True, slots=True)
class Numbered:
    """A recipient who can be served, and the number."""

    recipient: Recipient
    number: int


Served = Numbered | Sequence[Violation]
"""A recipient, or what is wrong with one."""


def numbered(mint: Mint, messages: Sequence[mailing_pb2.Recipient]) -> list[Served]:
    """Each recipient with the number, or what is wrong, in order. Blocks: what has to be kept of them is."""
    recipients = checked(messages)
    good = [recipient for recipient in recipients if isinstance(recipient, Recipient)]
    numbers = iter(mint.numbers(good))
    return [_numbered(recipient, next(numbers)) if isinstance(recipient, Recipient) else recipient for recipient in recipients]


def minted(mint: Mint, served: Sequence[Served], start: int) -> list[mailing_service_pb2.RecipientUrls]:
    """The URLs of recipients from `start` on, as many as fit in one response, or what is wrong with them, in order. Blocks."""
    return until_full(
        _urls(mint.urls(each.recipient, each.number)) if isinstance(each, Numbered) else _no_urls(each) for each in served[start:]
    )


def rendered(press: Press, served: Sequence[Served], start: int) -> list[mailing_service_pb2.RenderedMessage]:
    """The messages of recipients from `start` on, likewise."""
    return until_full(
        _rendered(press.render(each.recipient, each.number) if isinstance(each, Numbered) else each) for each in served[start:]
    )


def _numbered(recipient: Recipient, number: int | Violation) -> Served:
    return [number] if isinstance(number, Violation) else Numbered(recipient, number)


def _rendered(result: Rendered | Violation | Sequence[Violation]) -> mailing_service_pb2.RenderedMessage:
    match result:
        case Rendered(html, text):
            return mailing_service_pb2.RenderedMessage(html=html, text=text)
        case Violation():
            return mailing_service_pb2.RenderedMessage(error=error_of([result]))
        case violations:
            return mailing_service_pb2.RenderedMessage(error=error_of(violations))


def _urls(urls: dict[int, str]) -> mailing_service_pb2.RecipientUrls:
    found = [mailing_service_pb2.TrackedUrl(placement_id=placement_id, url=url) for placement_id, url in urls.items()]
    return mailing_service_pb2.RecipientUrls(urls=found)


def _no_urls(violations: Sequence[Violation]) -> mailing_service_pb2.RecipientUrls:
    return mailing_service_pb2.RecipientUrls(error=error_of(violations))


def _segment(segment: Segment) -> mailing_pb2.Segment:
    match segment:
        case Literal(content):
            return mailing_pb2.Segment(literal=content)
        case PlacementSlot(placement_id):
            return mailing_pb2.Segment(placement_id=placement_id)
        case MergeField(name, escaping):
            return mailing_pb2.Segment(
                merge_field=name, escaping=mailing_pb2.MergeFieldEscaping.Value(f"MERGE_FIELD_ESCAPING_{escaping.name.upper()}")
            )
