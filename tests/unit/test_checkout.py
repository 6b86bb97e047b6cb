"""Tests see neither what `make run` has left in the checkout nor what its operator has set."""

import contextlib
import os
import sqlite3
from pathlib import Path

from server.settings import Settings
from tests.conftest import guard
from tests.support.house import ROOT, House


def test_a_test_that_looks_into_the_checkout_is_found_out() -> None:
    journal = ROOT / "var" / "front" / "journal-of-nobody"
    with contextlib.suppress(OSError):
        journal.read_bytes()
    with contextlib.suppress(OSError):
        os.listdir(journal)
    with contextlib.suppress(sqlite3.Error):
        sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    assert guard.touched() == [str(journal), str(journal), f"{journal}?mode=ro"]
    (Path("var") / "front").is_dir()
    assert guard.touched() == []


def test_what_is_not_said_is_the_default(tmp_path: Path) -> None:
    assert Settings().public_url == "http://127.0.0.1:8080"
    assert not Settings().directory.exists()
    os.environ["TRACKEDLINKS_CRM"] = "grpc://127.0.0.1:1"
    try:
        assert "TRACKEDLINKS_CRM" not in House(tmp_path, "sqlite://").environment
    finally:
        del os.environ["TRACKEDLINKS_CRM"]
