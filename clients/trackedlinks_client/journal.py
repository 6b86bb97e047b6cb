"""What the front doors of this machine keep in their journal for the server."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from google.protobuf.message import DecodeError

from redirect.disk import DiskThread
from redirect.segments import frames_of, read_segment, segments_in
from trackedlinks.v1 import click_service_pb2


@dataclass(frozen=True, slots=True)
class Journal:
    """How many clicks wait, since when, and how many the server has refused for good; how many damaged segments are kept, and how many
    more cannot be read."""

    waiting: int
    since: datetime | None
    rejected: int
    damaged: int
    unreadable: int


def journal_in(directory: Path, seconds: float) -> Journal | None:
    """The journal in a directory; None where there is none. Raises OSError, also when its disk has not answered in so many seconds."""
    return asyncio.run(DiskThread("journal").run_for(seconds, _read, directory))


def _read(directory: Path) -> Journal | None:
    if not directory.is_dir():
        return None
    waiting, since, unreadable = 0, None, 0
    for path in segments_in(directory):
        try:
            stored = read_segment(path)
        except FileNotFoundError:  # replayed meanwhile
            continue
        except OSError:
            unreadable += 1
            continue
        contents = frames_of(stored).contents
        waiting += len(contents)
        since = min(filter(None, (since, *_times(contents[:1]))), default=None)
    rejected, damaged = (len(list((directory / name).glob("*"))) for name in ("rejected", "damaged"))
    return Journal(waiting, since, rejected, damaged, unreadable)


def _times(contents: Sequence[bytes]) -> Iterator[datetime]:
    """When clicks happened: the time in their ids, UTC."""
    for content in contents:
        try:
            click_id = UUID(click_service_pb2.RecordClickRequest.FromString(content).click_id)
        except (DecodeError, ValueError):
            continue
        yield datetime.fromtimestamp((click_id.int >> 80) / 1000, UTC)
