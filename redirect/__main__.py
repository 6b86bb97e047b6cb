"""`python -m redirect` serves the front door with granian.

Uvicorn is as fast but has no deadline for reading headers: 400 of 400 trickling connections stayed open.
"""

import socket
import sys
import time
from typing import Any

import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer
from pydantic import ValidationError

from redirect import token
from redirect.settings import Settings

log = structlog.get_logger()


def main() -> None:
    """Serves until SIGTERM or SIGINT. Ends with a sentence and exit status 1 when it cannot start."""
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = (f"TRACKEDLINKS_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors())
        raise SystemExit("\n".join(wrong)) from None
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    host, _, port = settings.front_listen.rpartition(":")
    _refuse_taken(host.strip("[]"), int(port))
    _wait_for_server(settings)
    _refuse_damaged_keys(settings)
    server = http_server("redirect.app:create", host.strip("[]"), int(port), settings.front_workers)
    server.on_startup(lambda: log.info("serving", address=f"http://{settings.front_listen}"))
    server.serve()


def http_server(target: str, host: str, port: int, workers: int) -> AbstractServer[Any]:
    """What serves the application that `target` (module:function) makes: the front door's, or another one to compare it with."""
    server: AbstractServer[Any] = Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        loop=Loops.uvloop,
        workers=workers,
        http=HTTPModes.http1,
        websockets=False,
        backlog=2048,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        respawn_failed_workers=True,
        workers_kill_timeout=15,
        log_level=LogLevels.warning,
    )
    return server


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SystemExit(f"cannot listen on {host}:{port}: {error.strerror} (TRACKEDLINKS_FRONT_LISTEN sets another address)") from None


def _refuse_damaged_keys(settings: Settings) -> None:
    assert settings.key_file is not None
    try:
        token.load(settings.key_file)
    except (OSError, ValueError) as error:
        raise SystemExit(f"the key file cannot be used: {error}") from None


def _wait_for_server(settings: Settings) -> None:
    """Waits for a first start of the server, which makes the key file: make would otherwise wait for ever for the one of two that runs."""
    assert settings.key_file is not None
    deadline = time.monotonic() + settings.first_start_seconds
    while not (settings.key_file.exists() and _answers(settings.server)):
        if time.monotonic() >= deadline:
            raise SystemExit(
                f"no server came at {settings.server} with its keys in {settings.key_file} within {settings.first_start_seconds:g} s"
            )
        time.sleep(0.1)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
