"""What the front doors of this machine keep in their journal for the server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from google.protobuf.message import DecodeError

from redirect.segments import frames_of, segments_in
from trackedlinks.v1 import click_service_pb2


@dataclass(frozen=True, slots=True)
class Journal:
    """How many clicks wait, since when, how many the server has refused for good, and how many damaged segments are kept."""

    waiting: int
    since: datetime | None
    rejected: int
    damaged: int


def journal_in(directory: Path) -> Journal:
    """The journal in a directory; one that is not there is empty. Raises OSError."""
    waiting, since = 0, None
    for path in segments_in(directory):
        try:
            stored = path.read_bytes()
        except FileNotFoundError:  # replayed meanwhile
            continue
        contents = frames_of(stored).contents
        waiting += len(contents)
        since = min(filter(None, (since, *_times(contents[:1]))), default=None)
    rejected, damaged = (len(list((directory / name).glob("*"))) for name in ("rejected", "damaged"))
    return Journal(waiting, since, rejected, damaged)


def _times(contents: Sequence[bytes]) -> Iterator[datetime]:
    """When clicks happened: the time in their ids, UTC."""
    for content in contents:
        try:
            click_id = UUID(click_service_pb2.RecordClickRequest.FromString(content).click_id)
        except (DecodeError, ValueError):
            continue
        yield datetime.fromtimestamp((click_id.int >> 80) / 1000, UTC)
