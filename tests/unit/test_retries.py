"""The click id of a request that a proxy has named and timed."""

import pytest

from redirect.retries import retried_click_id

NAME = b"b14c2c1d8a5f4e0c9e3d7b6a5f4e3d2c"
"""As nginx makes it."""

NOW = 1_700_000_000_123
"""Milliseconds."""

SAME = [b"1700000000.123", b"1700000000123", b"t=1700000000.123", b"1700000000.123456", b"t=1700000000123456"]
NONE = [
    b"",
    b"1700000000",
    b"1700000061.124",
    b"1699999940.122",
    b"x1700000000.123",
    b"1700000000.123 ",
    b"-1700000000.123",
    b"9999999999.999",
]


@pytest.mark.parametrize("start", SAME)
def test_the_time_of_a_retry_is_that_of_the_first_try(start: bytes) -> None:
    headers = [(b"x-request-id", NAME), (b"x-request-start", start)]
    found = {retried_click_id(headers, b"token", (NOW + later) * 1_000_000) for later in (0, 1000, 59_000)}
    (click_id,) = found
    assert click_id is not None
    assert click_id.startswith(f"{NOW:012x}"[:8] + "-" + f"{NOW:012x}"[8:] + "-7")
    assert click_id[19] in "89ab"


@pytest.mark.parametrize("start", NONE)
def test_a_time_that_cannot_be_is_no_retry(start: bytes) -> None:
    assert retried_click_id([(b"x-request-id", NAME), (b"x-request-start", start)], b"token", NOW * 1_000_000) is None


@pytest.mark.parametrize("name", [b"", b"short", b"x" * 201, b"with a blank", "ø-is-no-id".encode()])
def test_a_name_that_could_be_anybodys_is_no_retry(name: bytes) -> None:
    start = (b"x-request-start", b"1700000000.123")
    assert retried_click_id([(b"x-request-id", name), start], b"token", NOW * 1_000_000) is None
    assert retried_click_id([start, (b"x-request-id", NAME), start], b"token", NOW * 1_000_000) is None
    assert retried_click_id([start], b"token", NOW * 1_000_000) is None
