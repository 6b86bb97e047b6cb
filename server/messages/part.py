"""Which part of a message is meant."""

from enum import StrEnum


class Part(StrEnum):
    """The HTML part or the plain text part of a message."""

    html = "html"
    text = "text"
