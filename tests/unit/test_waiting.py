"""Clicks whose recipients wait for a server that takes none."""

import asyncio

import pytest

from redirect.waiting import Breaker, Request, WaitingClicks


async def test_those_who_have_waited_late_and_in_vain_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redirect.waiting.LATE_SECONDS", 0.001)
    waiting = WaitingClicks(0.001, Breaker())
    for group in range(20):
        requests = [Request(click_id=f"{group}-{number}") for number in range(10)]
        assert await asyncio.gather(*(waiting.late_answer(each, sent=False) for each in requests)) == [None] * 10
    assert len(waiting) == 0
    assert waiting.unsent_count <= 10, "of the last ones only"
