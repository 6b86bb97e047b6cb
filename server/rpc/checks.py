"""Checks of the arguments of a call that no model has: ids, counts, searches."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import ParamSpec, Self, TypeVar, cast

from google.protobuf.message import Message

from server.model.click import Verdict
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.ids import MAX_PERSON_ID
from server.rpc.lists import ROOM

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

MOST_QUERY = 255


class AllAtOnce:
    """Makes several checks of one request: at the end of the `with` INVALID_FIELD is raised with the violations of all of them.

    What a failed check would have given is not there, so nothing may be done with it before the end.
    """

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def __call__(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the check gives. Raises what it raises, but for INVALID_FIELD."""
        try:
            return check(*args, **kwargs)
        except DomainError as error:
            if error.reason is not Reason.invalid_field:
                raise
            self._violations += error.violations
            return cast(T, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            _refuse(self._violations)


def positive(**ids: int) -> None:
    """Raises INVALID_FIELD for every id that is not positive."""
    _refuse(Violation(name, f"must be positive, not {value}") for name, value in ids.items() if value <= 0)


def person_or_nobody(person_id: int) -> None:
    """Raises INVALID_FIELD unless it is 0 or can be a person's id."""
    if not 0 <= person_id <= MAX_PERSON_ID:
        raise invalid(Violation("person_id", f"must be from 0 to 2^62 - 1, not {person_id}"))


def not_negative(**ids: int) -> None:
    """Raises INVALID_FIELD for every id that is negative; 0 is none, root or any."""
    _refuse(Violation(name, f"must not be negative, not {value}") for name, value in ids.items() if value < 0)


def ids(name: str, values: Sequence[int], most: int) -> None:
    """Raises INVALID_FIELD unless there are 1 to `most` ids, each positive."""
    count(name, len(values), most)
    _refuse(Violation(f"{name}[{index}]", f"must be positive, not {value}") for index, value in enumerate(values) if value <= 0)


def count(name: str, number: int, most: int) -> None:
    """Raises INVALID_FIELD unless there are 1 to `most` of something."""
    if not 1 <= number <= most:
        raise invalid(Violation(name, f"must have 1 to {most:,} entries, not {number:,}"))


def at_most(name: str, number: int, most: int) -> None:
    """Raises INVALID_FIELD for more than `most` of something."""
    if number > most:
        raise invalid(Violation(name, f"must have at most {most:,} entries, not {number:,}"))


def answer_fits(name: str, answer: Message) -> None:
    """Raises INVALID_FIELD for an answer that clients, who take 4 MiB, could not receive: fewer must be asked for."""
    if answer.ByteSize() > ROOM:
        raise invalid(Violation(name, f"makes an answer of {answer.ByteSize():,} bytes, at most {ROOM:,} are possible: ask for fewer"))


def query(text: str) -> None:
    """Raises INVALID_FIELD for a search text that is too long or holds a NUL."""
    if len(text) > MOST_QUERY or "\0" in text:
        raise invalid(Violation("query", f"must have at most {MOST_QUERY} characters and no NUL, not {len(text):,}"))


def mine(user: int) -> int:
    """The user whose own things are asked for. Raises INVALID_FIELD when nobody is named."""
    if not user:
        raise invalid(Violation("mine", "needs the user in metadata trackedlinks-user-id"))
    return user


def mint_subject(mailing_id: int, link_ids: Sequence[int]) -> None:
    """Raises INVALID_FIELD unless there is a mailing and no links, or 1 to 100 links and mailing 0."""
    not_negative(mailing_id=mailing_id)
    if not mailing_id:
        ids("link_ids", link_ids, 100)
    elif link_ids:
        raise invalid(Violation("link_ids", "must be empty with a mailing, whose placements are used"))


def link_or_mailing(link_id: int, mailing_id: int) -> None:
    """Raises INVALID_FIELD unless at least one of them is given; 0 = any."""
    not_negative(link_id=link_id, mailing_id=mailing_id)
    if not (link_id or mailing_id):
        raise invalid(Violation("link_id", "link_id or mailing_id must be given"))


def one_of(request: Message, oneof: str) -> None:
    """Raises INVALID_FIELD unless one member of the oneof is set."""
    if request.WhichOneof(oneof) is None:
        members = " or ".join(field.name for field in request.DESCRIPTOR.oneofs_by_name[oneof].fields)
        raise invalid(Violation(oneof, f"{members} must be given"))


def past_time(name: str, value: object, now: datetime) -> datetime:
    """The time; now where none is given. Raises INVALID_FIELD for what is none, and for one more than 5 minutes ahead."""
    if value is None:
        return now
    if not isinstance(value, datetime) or value > now + timedelta(minutes=5):
        raise invalid(Violation(name, "must be a time, not more than 5 minutes in the future"))
    return value


def known_verdict(number: int) -> Verdict | None:
    """The verdict asked for; None for any. Raises INVALID_FIELD for a number that is none."""
    try:
        return Verdict(number) if number else None
    except ValueError:
        raise invalid(Violation("verdict", f"must be a verdict of the contract, not {number}")) from None


def all_of(check: Callable[[A, str], T], values: Iterable[A], paths: Sequence[str]) -> list[T]:
    """The checked values. Raises INVALID_FIELD with the violations of all of them, not of the first one only."""
    with AllAtOnce() as each:
        return [each(check, value, path) for value, path in zip(values, paths, strict=True)]


def _refuse(violations: Iterable[Violation]) -> None:
    if found := list(violations):
        raise invalid(*found)
