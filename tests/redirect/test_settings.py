"""The front door's settings that depend on each other."""

import pytest

from redirect.settings import Settings


def test_a_journal_without_room_for_each_front_worker_is_refused() -> None:
    assert Settings(front_workers=3, journal_mebibytes=96).journal_mebibytes == 96
    with pytest.raises(ValueError, match="must be at least 96 for 3 front workers, not 95"):
        Settings(front_workers=3, journal_mebibytes=95)
