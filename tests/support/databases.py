"""On which kinds of database a test runs: on both, unless it says otherwise."""

import pytest

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is decided before a database is asked, or with nothing that it says, such as what is refused for its form: SQLite stands for
both. What depends on what is stored or read, on its limits, its order or its locks stays on both."""
