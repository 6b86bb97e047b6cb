"""The parts of messages that lie in a folder, each with its character set."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.messages.part import Part


@dataclass(frozen=True, slots=True)
class Mail:
    """One part of a message as it lies in a file."""

    name: str
    part: Part
    content: bytes
    charset: str = "utf-8"

    def place(self, offset: int) -> str:
        """Where a byte stands: line:column, both from 1."""
        before = self.content[:offset].split(b"\n")
        return f"{len(before)}:{len(before[-1]) + 1}"


def mails_in(folder: Path) -> Iterator[Mail]:
    """Every .html and .txt below the folder, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".html", ".txt") and path.is_file():
            content = path.read_bytes()
            part = Part.text if path.suffix.lower() == ".txt" else Part.html
            yield Mail(str(path.relative_to(folder)), part, content, _charset(content))


_DECLARED = re.compile(rb"<meta[^>]+charset[\t\n\r ]*=[\t\n\r ]*[\"']?(iso-8859-\d{1,2}|windows-125\d)", re.IGNORECASE)


def _charset(content: bytes) -> str:
    declared = _DECLARED.search(content)
    for charset in ("utf-8", declared[1].decode("ascii").lower() if declared else "windows-1252"):
        try:
            content.decode(charset)
        except (LookupError, ValueError):
            continue
        return charset
    return "windows-1252"
