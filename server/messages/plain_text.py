"""Where the addresses of a plain text stand, by what writers put around and behind them."""

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache


def addresses_of(content: bytes, charset: str) -> Iterator[tuple[int, int]]:
    """The places of http, https and trackedlink addresses, ascending; time grows with the length only. Never raises."""
    stop = _stop(charset)
    position = 0
    while found := _START.search(content, position):
        position = _stretch_end(content, found.end(), stop)
        end = _trimmed(content, found.start(), found.end(), position)
        if end > found.end():
            yield found.start(), end


_START = re.compile(rb"(?<![A-Za-z0-9])(?:https?://|trackedlink:)", re.IGNORECASE)
_MARKS = "\u00a0\u1680\u2007\u2009\u200b\u2028\u2029\u202f\u3000\ufeff«»‹›“”„‟‘’‚‛…、。「」『』【】（）"
_EMPHASIS = b"*_~"
_BRACKETS = ((b"(", b")"), (b"[", b"]"), (b"{", b"}"))


@lru_cache(maxsize=32)
def _stop(charset: str) -> re.Pattern[bytes]:
    # A mark is looked for where its bytes cannot be a piece of another character: in UTF-8, and where it is one byte.
    whole: list[bytes] = []
    for mark in _MARKS:
        try:
            encoded = mark.encode(charset)
            if len(encoded) == 1 or codecs.lookup(charset).name == "utf-8":
                whole.append(re.escape(encoded))
        except (LookupError, ValueError):
            continue  # a charset without this mark, or none that Python knows
    return re.compile(rb"\{\{[^{}\r\n]{0,200}\}\}|" + b"|".join([rb'[\x00-\x20<>"`\x7f]', *whole]))


def _stretch_end(content: bytes, position: int, stop: re.Pattern[bytes]) -> int:
    while found := stop.search(content, position):
        if not found[0].startswith(b"{{"):  # a merge field belongs to the address, with the blanks in it
            return found.start()
        position = found.end()
    return len(content)


def _trimmed(content: bytes, begin: int, start: int, end: int) -> int:
    """The end without punctuation that belongs to the sentence, brackets that were opened before the address, and what emphasises it."""
    surplus = {closing[0]: content.count(closing, start, end) - content.count(opening, start, end) for opening, closing in _BRACKETS}
    while end > start:
        last = content[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in b".,;:!?'" and not (last in _EMPHASIS and content[begin - 1 : begin] == bytes((last,))):
            break
        end -= 1
    return end
