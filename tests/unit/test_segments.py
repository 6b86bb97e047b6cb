"""Segments of the journal: what is whole is read, whatever happened to the rest, and nobody takes what another process has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redirect.segments import SEGMENT_BYTES, Segment, frame, frames_of, remove_unfinished, segments_in

contents = st.lists(st.binary(max_size=300) | st.just(b"\xf5TLJ" * 5), max_size=20)


@given(contents, st.integers(min_value=0, max_value=100))
def test_what_was_written_is_read_and_the_room_behind_it_is_nothing(written: list[bytes], room: int) -> None:
    found = frames_of(b"".join(map(frame, written)) + bytes(room))
    assert (list(found.contents), found.damaged) == (written, 0)


@given(contents.filter(bool), st.data())
def test_an_end_that_is_torn_takes_only_the_frame_that_it_tears(written: list[bytes], data: st.DataObject) -> None:
    stored = b"".join(map(frame, written))
    kept = data.draw(st.integers(min_value=0, max_value=len(stored) - 1))
    found = frames_of(stored[:kept] + bytes(len(stored) - kept))
    whole = 0
    while whole < len(written) and len(b"".join(map(frame, written[: whole + 1]))) <= kept:
        whole += 1
    # A frame whose torn end was all zeros is whole all the same.
    assert list(found.contents) in (written[:whole], written[: whole + 1])
    assert found.damaged == 0


@given(st.lists(st.binary(min_size=1, max_size=100), min_size=2, max_size=10), st.data())
def test_a_damaged_frame_costs_no_other_and_is_noticed(written: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=len(written) - 2))
    start = len(b"".join(map(frame, written[:index])))
    place = data.draw(st.integers(min_value=start, max_value=start + len(frame(written[index])) - 1))
    stored = bytearray(b"".join(map(frame, written)))
    stored[place] ^= data.draw(st.integers(min_value=1, max_value=255))
    found = frames_of(bytes(stored))
    assert (list(found.contents), found.damaged) == (written[:index] + written[index + 1 :], 1)


def test_a_segment_keeps_what_is_appended_and_has_its_room_from_the_start(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    assert segment.path.stat().st_size == SEGMENT_BYTES
    assert segment.path.stat().st_blocks * 512 >= SEGMENT_BYTES
    segment.append(frame(b"one"))
    segment.append(frame(b"two") + frame(b"three"))
    assert list(segment.frames().contents) == [b"one", b"two", b"three"]
    assert segment.has_room(SEGMENT_BYTES - segment.end)
    assert not segment.has_room(SEGMENT_BYTES - segment.end + 1)
    assert segments_in(tmp_path) == [segment.path]
    segment.remove()
    assert segments_in(tmp_path) == []


_MAKE = (
    "import sys; from pathlib import Path; from redirect.segments import *; s = Segment.create(Path(sys.argv[1])); s.append(frame(b'x')); "
)


def test_a_segment_is_taken_over_when_its_process_is_dead_and_not_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAKE + "print(s.path, flush=True); input()", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert Segment.take_over(path) is None
        process.kill()
    taken = Segment.take_over(path)
    assert taken is not None
    assert list(taken.frames().contents) == [b"x"]
    assert Segment.take_over(path) is None, "it is taken"
    taken.remove()
    assert Segment.take_over(path) is None, "it is gone"


def test_what_was_left_unfinished_is_removed_but_not_what_is_being_made(tmp_path: Path) -> None:
    (tmp_path / "1.unfinished").write_bytes(b"")
    (tmp_path / "2.segment").write_bytes(frame(b"x"))
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["2.segment"]


def test_a_segment_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Segment.create(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_whose_only_frame_is_damaged_is_damage_and_an_empty_one_is_not(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    assert (list(segment.frames().contents), segment.frames().damaged) == ([], 0)
    segment.append(frame(b"answered"))
    stored = bytearray(segment.path.read_bytes())
    stored[20] ^= 1
    segment.path.write_bytes(stored)
    assert (list(segment.frames().contents), segment.frames().damaged) == ([], 1)
    segment.close()
