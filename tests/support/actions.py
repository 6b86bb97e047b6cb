"""Actions for tests, short to write, and a link that has one of each kind."""

from collections.abc import Sequence
from typing import Any

from tests.support import crm
from tests.support.stubs import Stubs
from trackedlinks.v1 import crm_pb2, link_pb2

EVERY = link_pb2.REPEAT_POLICY_EVERY_CLICK
ONCE = link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT
IN_MAILING = link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT_AND_MAILING


def set_field(field: str, value: str, policy: Any = 0) -> link_pb2.LinkAction:
    """An action that sets an extra field."""
    return link_pb2.LinkAction(repeat_policy=policy, set_field=link_pb2.SetField(field=field, value=value))


def interests(add: Sequence[int] = (), remove: Sequence[int] = ()) -> link_pb2.LinkAction:
    """An action that adds and removes interests."""
    return link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=add, remove=remove))


def follow_up(policy: Any = 0, **fields: Any) -> link_pb2.LinkAction:
    """An action that makes a follow-up, a phone call unless said otherwise."""
    kind = link_pb2.CreateFollowUp(**{"type": link_pb2.FOLLOW_UP_TYPE_PHONE_CALL} | fields)
    return link_pb2.LinkAction(repeat_policy=policy, follow_up=kind)


def service_request(policy: Any = 0, **fields: Any) -> link_pb2.LinkAction:
    """An action that makes a service request."""
    return link_pb2.LinkAction(repeat_policy=policy, service_request=link_pb2.CreateServiceRequest(**{"title": "Help"} | fields))


def fields_of(card: crm_pb2.Person) -> dict[str, str]:
    """The extra fields of a card."""
    return dict(card.extra_fields)


async def every_kind(stubs: Stubs) -> tuple[link_pb2.Link, dict[str, int]]:
    """A link with one action of each kind, and the ids of what they name; each may be done at every click."""
    catalogs = {
        "interest": crm_pb2.CATALOG_INTEREST,
        "selection": crm_pb2.CATALOG_SELECTION,
        "project": crm_pb2.CATALOG_PROJECT,
        "user": crm_pb2.CATALOG_USER,
    }
    ids = {name: await crm.entry(stubs, catalog, name) for name, catalog in catalogs.items()}
    link = await crm.link(
        stubs,
        service_request(EVERY),
        link_pb2.LinkAction(project=link_pb2.ChangeProjects(add=[ids["project"]])),
        set_field("clicked", "yes"),
        follow_up(EVERY, created_by=ids["user"]),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[ids["selection"]])),
        interests(add=[ids["interest"]]),
    )
    return link, ids
