"""How the server logs: one line of key=value fields each, on standard error, and nobody waits until it is read."""

import logging
import sys

import structlog

from redirect.log_lines import Lines


def configure_logs() -> None:
    """Sets logging and structlog up for this process."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("grpc._cython.cygrpc").setLevel(
        logging.CRITICAL
    )  # a traceback for each client that leaves; defects are logged in rpc/
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells of errors that are raised as well
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.WriteLoggerFactory(Lines(sys.stderr.fileno())),  # type: ignore[arg-type]  # it needs write() and flush()
    )
