"""Checks of the arguments of a call that no model has: ids, counts, searches."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from server.model.errors import DomainError, Reason, Violation, invalid

A = TypeVar("A")
T = TypeVar("T")

MOST_QUERY = 255


def positive(**ids: int) -> None:
    """Raises INVALID_FIELD for every id that is not positive."""
    _refuse(Violation(name, f"must be positive, not {value}") for name, value in ids.items() if value <= 0)


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


def query(text: str) -> None:
    """Raises INVALID_FIELD for a search text that is too long or holds a NUL."""
    if len(text) > MOST_QUERY or "\0" in text:
        raise invalid(Violation("query", f"must have at most {MOST_QUERY} characters and no NUL, not {len(text):,}"))


def mine(user: int) -> int:
    """The user whose own things are asked for. Raises INVALID_FIELD when nobody is named."""
    if not user:
        raise invalid(Violation("mine", "needs the user in metadata trackedlinks-user-id"))
    return user


def all_of(check: Callable[[A, str], T], values: Iterable[A], paths: Sequence[str]) -> list[T]:
    """The checked values. Raises INVALID_FIELD with the violations of all of them, not of the first one only."""
    checked: list[T] = []
    violations: list[Violation] = []
    for value, path in zip(values, paths, strict=True):
        try:
            checked.append(check(value, path))
        except DomainError as error:
            if error.reason is not Reason.invalid_field:
                raise
            violations += error.violations
    _refuse(violations)
    return checked


def _refuse(violations: Iterable[Violation]) -> None:
    if found := list(violations):
        raise invalid(*found)
