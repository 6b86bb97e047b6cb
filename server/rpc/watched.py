"""What WatchPlacements tells, as messages; and its positions, which are opaque to callers."""

import re
from collections.abc import Iterator

from server.clicks.answer import Page
from server.model.click import SpecialLink
from server.model.errors import Violation, invalid
from server.rpc import wire
from server.rpc.recipients import in_pieces
from server.store.changes import START, Position
from server.watching import Standing, Told
from trackedlinks.v1 import click_service_pb2

_POSITION = re.compile(r"(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})", re.ASCII)


def position_of(text: str) -> Position:
    """The position that a caller has come to; empty: the start. Raises INVALID_FIELD."""
    if not text:
        return START
    found = _POSITION.fullmatch(text)
    if found is None:
        raise invalid(Violation("position", f"must be empty or a position that came with a response, not {text[:60]!r}"))
    return int(found[1]), int(found[2])


def told_messages(told: Told, before: Position) -> Iterator[click_service_pb2.WatchPlacementsResponse]:
    """The messages that tell it, each of at most 1 MB: only the last one comes further than `before`."""
    answers = [_answer(standing, placement_ids) for standing, placement_ids in told.answers.items()]
    for start, some in in_pieces(answers):
        position = told.position if start + len(some) == len(answers) else before
        yield click_service_pb2.WatchPlacementsResponse(answers=some, position=f"{position[0]}.{position[1]}")


def _answer(standing: Standing, placement_ids: list[int]) -> click_service_pb2.PlacementAnswer:
    answer = click_service_pb2.PlacementAnswer(
        placement_ids=placement_ids, lets_leave=standing.lets_leave, depends_on_click=standing.depends_on_click
    )
    match standing.answer:
        case str() as location:
            answer.location = location
        case Page() as page:
            answer.page.CopyFrom(wire.to_message(page, click_service_pb2.Page))
        case SpecialLink() as special:
            answer.special_link.CopyFrom(wire.to_message(special, click_service_pb2.SpecialLink))
    return answer
