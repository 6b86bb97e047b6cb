"""What texts may hold: the kinds of string that fields are made of, and the key by which names are compared."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LANGUAGE = re.compile(r"(?:[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*)?")


def name_key(name: str) -> str:
    """What two names are compared by: NFC and case folding, made here because SQLite's own folding leaves Æ Ø Å alone (tried)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def one_line(text: str) -> str:
    """The text itself when it is one line without control characters."""
    if found := _CONTROL.search(text):
        raise ValueError(f"must not contain the control character U+{ord(found[0]):04X}")
    return text


def _lines(text: str) -> str:
    if found := _CONTROL_BUT_LINES.search(text):
        raise ValueError(f"must not contain the control character U+{ord(found[0]):04X}")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty or only blanks")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(f"must be a language tag such as nb or en-GB, not {text!r}")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(one_line), AfterValidator(_not_blank)]
"""1 to 255 characters on one line, not only blanks."""

ShortLine = Annotated[str, StringConstraints(max_length=255), AfterValidator(one_line)]
"""At most 255 characters on one line."""

Text = Annotated[str, StringConstraints(max_length=2047), AfterValidator(_lines)]
"""At most 2,047 characters; line ends and tabs, but no other control characters."""

LongText = Annotated[str, StringConstraints(min_length=1, max_length=32_768), AfterValidator(_lines), AfterValidator(_not_blank)]
"""1 to 32,768 characters likewise."""

LanguageTag = Annotated[str, StringConstraints(max_length=35), AfterValidator(_language)]
"""A BCP 47 tag by its shape, or empty."""
