"""Numbers that name things, and the one number that says who a recipient is."""

from typing import Annotated

from pydantic import Field

MAX_ID = 2**63 - 1
MAX_PERSON_ID = 2**62 - 1

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
"""The id of something that exists."""

OptionalId = Annotated[int, Field(ge=0, le=MAX_ID)]
"""An id, or 0 for none, root or nobody."""

NOBODY = 0


def person_recipient(person_id: int) -> int:
    """The recipient number of a registered person: even and positive. Source: DESIGN, A tracked URL."""
    return 2 * person_id


def address_recipient(address_id: int) -> int:
    """The recipient number of somebody known only by an address: odd."""
    return 2 * address_id + 1


def person_of(recipient: int) -> int:
    """The person that a recipient number means; 0 when it means an address or nobody."""
    return 0 if recipient & 1 else recipient >> 1


def address_of(recipient: int) -> int:
    """The address id that a recipient number means; 0 when it means a person or nobody."""
    return recipient >> 1 if recipient & 1 else 0
