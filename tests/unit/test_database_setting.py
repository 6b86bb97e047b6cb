"""Which databases can be set."""

import pytest
from pydantic import ValidationError

from server.settings import Settings


@pytest.mark.parametrize("url", ["mysql://root:secret@host/name", "trackedlinks.db", "postgres//host"])
def test_a_database_that_is_none_of_the_two_is_refused_and_its_password_not_repeated(url: str) -> None:
    with pytest.raises(
        ValidationError, match=r"must begin with sqlite:/// or postgresql://, not '(mysql|trackedlinks.db|postgres//host)'"
    ) as raised:
        Settings(database_url=url)
    assert "secret" not in str(raised.value.errors(include_input=False))


@pytest.mark.parametrize("url", ["sqlite:////srv/t.db", "postgresql://user@host/name", "postgresql+psycopg://user@host/name"])
def test_the_two_are_taken(url: str) -> None:
    assert Settings(database_url=url).database_url == url
