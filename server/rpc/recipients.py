"""Streams of recipients: requests that carry up to 1,000 of them, answered in order and in pieces that clients can take."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from server.model.errors import DomainError, Violation, invalid
from server.model.mailing import Recipient
from server.rpc import wire
from server.turns import give_way
from trackedlinks.v1 import mailing_pb2, mailing_service_pb2

MOST_RECIPIENTS = 1000

PIECE = 1_000_000
"""Bytes of one response; the rest of an answer comes in further ones."""

M = TypeVar("M", bound=Message)
Checked = Recipient | tuple[Violation, ...]


class RecipientsRequest(Protocol):
    """What both streams have in common."""

    mailing_id: int
    sequence: int

    @property
    def recipients(self) -> Sequence[mailing_pb2.Recipient]:
        """At most 1,000."""


def at_most(request: RecipientsRequest) -> None:
    """Raises INVALID_FIELD for too many recipients."""
    number = len(request.recipients)
    if number > MOST_RECIPIENTS:
        raise invalid(Violation("recipients", f"must have at most {MOST_RECIPIENTS:,} entries, not {number:,}"))


def until_full(results: Iterable[M]) -> list[M]:
    """The first of the results, as many as fit in one response; one at least, where there is any. No more of them are made."""
    some: list[M] = []
    size = 0
    for result in results:
        give_way()
        some.append(result)
        size += result.ByteSize() + 8
        if size >= PIECE:
            break
    return some


def checked(recipients: Sequence[mailing_pb2.Recipient]) -> list[Checked]:
    """The recipients; a bad one is its violations."""
    return [_recipient(message) for message in recipients]


def same_subject(first: RecipientsRequest, request: RecipientsRequest) -> None:
    """Raises INVALID_FIELD when a later request of a stream names another mailing or other links than the first one."""
    problems = []
    if request.mailing_id not in (0, first.mailing_id):
        problems.append(Violation("mailing_id", f"must be 0 or that of the first request, {first.mailing_id}, not {request.mailing_id}"))
    link_ids = list(getattr(request, "link_ids", ()))
    if link_ids and link_ids != list(getattr(first, "link_ids", ())):
        problems.append(Violation("link_ids", "must be empty or those of the first request"))
    if problems:
        raise invalid(*problems)


def error_of(violations: Sequence[Violation]) -> mailing_service_pb2.RecipientError:
    """The violations as they go over the wire, in the place of one recipient."""
    found = [
        mailing_service_pb2.RecipientError.Violation(field=violation.field, description=violation.description) for violation in violations
    ]
    return mailing_service_pb2.RecipientError(violations=found)


def in_pieces(results: Sequence[M], room: int = PIECE) -> Iterator[tuple[int, Sequence[M]]]:
    """The results in slices of at most so many bytes, each with the index of its first; at least one slice, if empty."""
    start = size = 0
    for index, result in enumerate(results):
        bytes_of = result.ByteSize() + 8
        if index > start and size + bytes_of > room:
            yield start, results[start:index]
            start, size = index, 0
        size += bytes_of
    yield start, results[start:]


def _recipient(message: mailing_pb2.Recipient) -> Checked:
    try:
        return wire.to_model(message, Recipient, "")
    except DomainError as error:
        return tuple(error.violations)
