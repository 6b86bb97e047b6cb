"""How the front door's processes log: one line of key=value fields each, on standard error."""

import sys

import structlog

from redirect.log_lines import Lines


def configure_logs() -> None:
    """Sets structlog up for this process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.WriteLoggerFactory(Lines(sys.stderr.fileno())),  # type: ignore[arg-type]  # it needs write() and flush()
    )
