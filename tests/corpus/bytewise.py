"""What must hold of a rewritten mail byte for byte, and of the addresses in a text."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from server.messages.find import FoundAddress
from tests.corpus.rewriting import Rewriting


def changes(rewriting: Rewriting) -> Iterator[tuple[int, str]]:
    """Where anything but the tracked addresses is another than in the mail."""
    yield from _differences(rewriting.mail.content, rewriting.mail.content, rewriting.untouched)
    yield from _differences(rewriting.mail.content, rewriting.expected(), rewriting.rendered)


def misread_in_text(rewriting: Rewriting) -> Iterator[tuple[int, str]]:
    """Where a text holds an address that was not found, or that goes on behind what was found: its rest would be read as our URL's."""
    content = rewriting.mail.content
    for found in re.finditer(rb"\b(?:https?://|trackedlink:)\w+", content, re.IGNORECASE):
        if not any(address.start <= found.start() and found.end() <= address.end for address in rewriting.addresses):
            yield found.start(), f"the address {found[0].decode('ascii')!r} was not found"
    for address in rewriting.addresses:
        behind = content[address.end : address.end + 40].decode(rewriting.mail.charset, "replace")
        if _GOES_ON.match(behind):
            yield address.end, f"the address {_written(content, address)!r} goes on with {behind!r}"


# What emphasises an address may stand behind it: the front door drops it.
_GOES_ON = re.compile(r"(?![*_~](?:\s|$))[\w/?&=#%~+$*@|-]|\{\{ ?\w|[.,;:!?']+[\w/]")


def _written(content: bytes, address: FoundAddress) -> str:
    return content[address.start : address.end].decode("utf-8", "replace")


def _differences(content: bytes, expected: bytes, rendered: bytes) -> Iterator[tuple[int, str]]:
    if expected != rendered:
        offset = next(offset for offset, (one, other) in enumerate(zip_longest(expected, rendered)) if one != other)
        wrong, right = (text[offset : offset + 30].decode("utf-8", "replace") for text in (rendered, expected))
        yield min(offset, len(content)), f"{wrong!r} stands where {right!r} should"
