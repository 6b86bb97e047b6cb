"""Cards as a remote CRM sends them: what breaks our limits is cut or left out: a recipient has no say in what others keep."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from server.model.crm import MOST_EXTRA_FIELDS, MOST_MEMBERSHIPS, EmailAddress, NamedReference, Person
from server.model.ids import MAX_ID
from server.model.subscription import Subscription
from server.model.text import Name
from server.rpc import wire
from trackedlinks.v1 import crm_pb2, crm_service_pb2

MOST_SUBSCRIPTIONS = 1000
MOST_NAME, MOST_VALUE = 255, 2047

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_TO_BLANKS = dict.fromkeys([*_CONTROLS, 0x2028, 0x2029], " ")
_LEFT_OUT = dict.fromkeys(code for code in _CONTROLS if chr(code) not in "\t\n\r")

_name: TypeAdapter[str] = TypeAdapter(Name)
_email: TypeAdapter[str] = TypeAdapter(EmailAddress)


def to_card(message: crm_pb2.Person) -> Person:
    """The card within our limits. A person without a name is called by the number, and an address that is none is left out."""
    return Person(
        id=message.id,
        name=line(message.name, MOST_NAME) or f"Person {message.id}",
        email=_address(message.email),
        our_contact_id=max(message.our_contact_id, 0),
        extra_fields=_fields(message.extra_fields.items()),
        interests=_references(message.interests),
        selections=_references(message.selections),
        projects=_references(message.projects),
    )


def to_subscriptions(messages: Iterable[crm_service_pb2.Subscription]) -> list[Subscription]:
    """The subscriptions within our limits, by mailing type; one of no mailing type is left out."""
    found: dict[int, Subscription] = {}
    for each in messages:
        if each.mailing_type_id > 0 and len(found) < MOST_SUBSCRIPTIONS:
            values = wire.to_values(each)
            time = values.get("change_time")
            found[each.mailing_type_id] = Subscription.model_construct(
                mailing_type_id=each.mailing_type_id,
                mailing_type=line(each.mailing_type, MOST_NAME) or f"Mailing type {each.mailing_type_id}",
                subscribed=each.subscribed,
                change_time=time if isinstance(time, datetime) else None,
            )
    return [found[type_id] for type_id in sorted(found)]


def line(text: str, most: int) -> str:
    """The text on one line, cut to so many characters."""
    return text[: 2 * most].translate(_TO_BLANKS)[:most].strip()


def _address(text: str) -> str:
    try:
        return _email.validate_python(text)
    except ValidationError:
        return ""


def _fields(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By name; a name is never cut, since that would be another field."""
    kept: dict[str, str] = {}
    for name, value in sorted(fields):
        text = value[:MOST_VALUE].translate(_LEFT_OUT)
        if text and len(kept) < MOST_EXTRA_FIELDS and _is_name(name):
            kept[name] = text
    return kept


def _is_name(text: str) -> bool:
    try:
        _name.validate_python(text)
    except ValidationError:
        return False
    return True


def _references(some: Iterable[crm_pb2.NamedReference]) -> list[NamedReference]:
    """Those with an id, each once."""
    named = {each.id: line(each.name, MOST_NAME) for each in some if 0 < each.id <= MAX_ID}
    return [NamedReference(id=entry_id, name=name) for entry_id, name in list(named.items())[:MOST_MEMBERSHIPS]]
