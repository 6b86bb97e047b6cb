"""Character references in the value of an HTML attribute. Source: WHATWG HTML, Character reference state.

`html.unescape` follows the rule for text, where `&copy=1` means `©=1`; in an attribute it means itself, or links would break.
"""

import re
from html.entities import html5

_REFERENCE = re.compile(
    r"&(?:#[xX](?P<hexadecimal>[0-9A-Fa-f]+);?|#(?P<decimal>[0-9]+);?|(?P<name>[A-Za-z][A-Za-z0-9]*(?![A-Za-z0-9]);?)(?P<equals>=?))"
)
_REPLACEMENT = "\ufffd"
_LARGEST_DIGITS = 7  # of 0x10FFFF in decimal; the standard library refuses to read numbers of thousands of digits


def decoded(value: str) -> str:
    """The attribute value with every character reference read once."""
    return _REFERENCE.sub(_character, value) if "&" in value else value


def _character(reference: re.Match[str]) -> str:
    match reference.lastgroup:
        case "hexadecimal":
            return _code_point(reference["hexadecimal"], 16)
        case "decimal":
            return _code_point(reference["decimal"], 10)
        case _:
            return _named(reference)


def _named(reference: re.Match[str]) -> str:
    # A name without semicolon counts only when neither a letter, a digit nor = follows. The longest run of letters and digits is
    # in the match, so a shorter name at its beginning is always followed by one.
    name, equals = reference["name"], reference["equals"]
    if equals and not name.endswith(";"):
        return reference[0]
    character = html5.get(name)
    return reference[0] if character is None else character + equals


def _code_point(digits: str, base: int) -> str:
    digits = digits.lstrip("0")
    number = int(digits, base) if digits and len(digits) <= _LARGEST_DIGITS else 0
    if not 0 < number <= 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return _REPLACEMENT
    if 0x80 <= number <= 0x9F:
        return bytes((number,)).decode("cp1252", "ignore") or chr(number)
    return chr(number)
