"""Messages and recipients' results as they go over the wire, where names alone do not say how."""

from collections.abc import Sequence

from server.messages.template import Literal, MergeField, PlacementSlot, Segment
from server.model.errors import Violation
from server.model.mailing import CountedMailing, MailingLink, Recipient
from server.rendering import Press, Rendered
from server.rpc import wire
from server.rpc.recipients import checked, error_of
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


def minted(mint: Mint, messages: Sequence[mailing_pb2.Recipient]) -> list[mailing_service_pb2.RecipientUrls]:
    """Each recipient's URLs, or what is wrong with the recipient, in order. Blocks."""
    recipients = checked(messages)
    urls = iter(mint.urls([recipient for recipient in recipients if isinstance(recipient, Recipient)]))
    return [_urls(next(urls) if isinstance(recipient, Recipient) else recipient) for recipient in recipients]


def rendered(press: Press, messages: Sequence[mailing_pb2.Recipient]) -> list[mailing_service_pb2.RenderedMessage]:
    """Each recipient's message, or what is wrong with the recipient, in order. Blocks."""
    recipients = checked(messages)
    made = iter(press.render([recipient for recipient in recipients if isinstance(recipient, Recipient)]))
    return [_rendered(next(made) if isinstance(recipient, Recipient) else recipient) for recipient in recipients]


def _rendered(result: Rendered | Violation | tuple[Violation, ...]) -> mailing_service_pb2.RenderedMessage:
    match result:
        case Rendered(html, text):
            return mailing_service_pb2.RenderedMessage(html=html, text=text)
        case Violation():
            return mailing_service_pb2.RenderedMessage(error=error_of([result]))
        case violations:
            return mailing_service_pb2.RenderedMessage(error=error_of(violations))


def _urls(urls: dict[int, str] | Violation | tuple[Violation, ...]) -> mailing_service_pb2.RecipientUrls:
    if not isinstance(urls, dict):
        return mailing_service_pb2.RecipientUrls(error=error_of([urls] if isinstance(urls, Violation) else urls))
    found = [mailing_service_pb2.TrackedUrl(placement_id=placement_id, url=url) for placement_id, url in urls.items()]
    return mailing_service_pb2.RecipientUrls(urls=found)


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
