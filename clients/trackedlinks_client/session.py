"""What every command needs: the address of the server and the user, from the global options."""

from dataclasses import dataclass

import typer

from trackedlinks_client.connection import Connection, connect


@dataclass(frozen=True)
class Session:
    """The global options."""

    address: str
    user: int


def session(ctx: typer.Context) -> Session:
    """The global options of a command."""
    found = ctx.find_object(Session)
    assert found is not None
    return found


def connection(ctx: typer.Context) -> Connection:
    """A connection as the global options say."""
    found = session(ctx)
    return connect(found.address, found.user)
