"""Who computes for others gives way to clicks."""

import threading
from collections.abc import Iterator

import pytest

from server import turns
from server.rpc.threads import Group, Threads

SECONDS = 20
"""More than any machine needs."""


@pytest.fixture
def clicks_under_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", SECONDS)
    turns.clicks_come()
    yield
    turns.clicks_are_through()


def computing(pieces: list[int], gives_way: bool) -> threading.Thread:
    def compute() -> None:
        if gives_way:
            turns.gives_way()
        for piece in (1, 2):
            turns.give_way()
            pieces.append(piece)

    thread = threading.Thread(target=compute)
    thread.start()
    return thread


def test_who_gives_way_goes_on_when_clicks_are_through(clicks_under_way: None) -> None:
    pieces: list[int] = []
    thread = computing(pieces, gives_way=True)
    thread.join(0.1)
    assert not pieces
    turns.clicks_come()
    turns.clicks_are_through()  # of two batches one is still under way
    thread.join(0.1)
    assert not pieces
    turns.clicks_are_through()
    thread.join(SECONDS)
    assert pieces == [1, 2]
    turns.clicks_come()


def test_clicks_that_never_end_stop_nobody(clicks_under_way: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 0.001)
    pieces: list[int] = []
    computing(pieces, gives_way=True).join(SECONDS)
    assert pieces == [1, 2]


def test_who_works_for_clicks_does_not_wait_for_them(clicks_under_way: None) -> None:
    pieces: list[int] = []
    computing(pieces, gives_way=False).join(SECONDS / 2)
    assert pieces == [1, 2]


def test_all_threads_but_those_for_front_doors_give_way(clicks_under_way: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_SECONDS", 0.001)
    asked: list[str] = []
    wait = turns._quiet.wait

    def waiting(seconds: float) -> bool:
        asked.append(threading.current_thread().name)
        return wait(seconds)

    monkeypatch.setattr(turns._quiet, "wait", waiting)
    threads = Threads()
    try:
        for group in Group:
            pool = threads._others.get(group)
            (threads.submit if pool is None else pool.submit)(turns.give_way).result(SECONDS)
    finally:
        threads.shutdown()
    assert {name.partition("_")[0] for name in asked} == {group.name for group in Group} - {"front"}
