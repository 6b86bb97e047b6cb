"""What calls the tracked-links service: a connection, a renderer for messages, and the `trackedlinks` command."""

from trackedlinks_client.connection import Connection, connect
from trackedlinks_client.errors import CallRefused

__all__ = ["CallRefused", "Connection", "connect"]
