"""`python -m redirect` serves the front door: this process listens, its workers serve, SIGHUP replaces them, SIGTERM ends them."""

import asyncio
import contextlib
import os
import resource
import signal
import time

import structlog
from pydantic import ValidationError

from redirect import token
from redirect.logs import configure_logs
from redirect.settings import Settings
from redirect.workers import Workers, bind

log = structlog.get_logger()


log = structlog.get_logger()

ENOUGH_OPEN_FILES = 4096
"""The connections that a worker accepts, once more for looking at them, and files of its own."""


def main() -> None:
    """Serves until SIGTERM or SIGINT. Ends with a sentence and exit status 1 when it cannot start."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are workers to replace
    os.umask(0o077)  # what is stored tells who has clicked what
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = (f"TRACKEDLINKS_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors())
        raise SystemExit("\n".join(wrong)) from None
    configure_logs()
    _raise_open_files()
    host, _, port = settings.front_listen.rpartition(":")
    try:
        listening = bind(host.strip("[]"), int(port))
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}:{port}: {error.strerror} (TRACKEDLINKS_FRONT_LISTEN sets another address)") from None
    _wait_for_keys(settings)
    _refuse_damaged_keys(settings)
    asyncio.run(Workers(listening, settings).run())


def _raise_open_files() -> None:
    """Takes as many open files as the system lets it, for the workers too: each has a connection for each recipient, and 1,024 is usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= allowed < ENOUGH_OPEN_FILES:
        log.warning("few_open_files", allowed=allowed, remedy=f"raise the hard limit (LimitNOFILE, ulimit -Hn) to {ENOUGH_OPEN_FILES}")


def _refuse_damaged_keys(settings: Settings) -> None:
    assert settings.key_file is not None
    try:
        keys = token.load(settings.key_file)
    except (OSError, ValueError) as error:
        raise SystemExit(f"the key file cannot be used: {error}") from None
    if keys.known_to_group:
        log.warning("keys_known_to_group", file=str(settings.key_file), remedy="chmod 600, unless the group is this process's own")


def _wait_for_keys(settings: Settings) -> None:
    """Waits for a first start of the server, which makes the key file: make would otherwise wait for ever for the one of two that runs."""
    assert settings.key_file is not None
    deadline = time.monotonic() + settings.first_start_seconds
    while not settings.key_file.exists():
        if time.monotonic() >= deadline:
            raise SystemExit(f"no server made its keys in {settings.key_file} within {settings.first_start_seconds:g} s")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
