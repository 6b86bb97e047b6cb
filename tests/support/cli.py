"""The `trackedlinks` command in tests: run against the server of this process."""

import json

import anyio.to_thread
from typer.testing import CliRunner, Result

from tests.support.stubs import Stubs
from trackedlinks_client.cli import app


async def run(stubs: Stubs, *arguments: object, user: int = 0, piped: bytes = b"") -> Result:
    """What the command does, in a worker thread, so that the server of this process can answer it."""
    words = ["--address", stubs.address, "--user", str(user), *map(str, arguments)]
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, words, input=piped))


async def done(stubs: Stubs, *arguments: object, user: int = 0, piped: bytes = b"") -> str:
    """What the command prints; fails when it does."""
    result = await run(stubs, *arguments, user=user, piped=piped)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


async def refused(stubs: Stubs, *arguments: object, piped: bytes = b"") -> list[str]:
    """What the command complains of, line by line; fails when it does not."""
    result = await run(stubs, *arguments, piped=piped)
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()


async def made(stubs: Stubs, *arguments: object, user: int = 0) -> int:
    """The id of what the command makes."""
    return int(json.loads(await done(stubs, *arguments, "--json", user=user))["id"])


def rows_of(output: str) -> list[list[str]]:
    """The words of each row of a table, below its headings."""
    return [line.split() for line in output.splitlines()[1:]]
