"""What every list has: page sizes, page tokens bound to the other arguments, an order that is one of a few. Source: AIP-158, AIP-132."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.text import name_key

DEFAULT_SIZE, MOST = 50, 1000

ROOM = 3_500_000
"""Bytes of a list's answer; a page that would be larger is cut, since clients take 4 MiB."""


class PageTokens:
    """Makes and reads page tokens: signed, so that what comes back is what was given, and bound to the request they continue."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def page_size(self, request: Any) -> int:
        """How many are wanted. Raises INVALID_FIELD for a negative number."""
        if request.page_size < 0:
            raise invalid(Violation("page_size", f"must not be negative, not {request.page_size}"))
        return min(request.page_size or DEFAULT_SIZE, MOST)

    def after(self, request: Any) -> tuple[Any, ...] | None:
        """The key after which the page begins; None for the first page. Raises PAGE_TOKEN_INVALID."""
        if not request.page_token:
            return None
        content = _decoded(request.page_token)
        # Nothing is parsed that did not come from here; and only the spelling that was given is taken back, since decoding is lax.
        if not hmac.compare_digest(content[:16], self._tag(request, content[16:])) or _encoded(content) != request.page_token:
            problem = Violation("page_token", "was not made by this call with these arguments")
            raise DomainError(Reason.page_token_invalid, f"{problem.field} {problem.description}", [problem])
        return tuple(_from_json(part) for part in json.loads(content[16:]))

    def token(self, request: Message, key: Sequence[Any] | None) -> str:
        """The token for the page after the one that ends with this key; empty where there is none."""
        if key is None:
            return ""
        content = json.dumps([_to_json(part) for part in key]).encode()
        return _encoded(self._tag(request, content) + content)

    def _tag(self, request: Any, content: bytes) -> bytes:
        bound = type(request)()
        bound.CopyFrom(request)
        bound.ClearField("page_token")
        bound.ClearField("page_size")
        asked = f"{request.DESCRIPTOR.full_name}\0".encode() + bound.SerializeToString(deterministic=True)
        return hashlib.blake2b(asked + b"\0" + content, key=self._key, digest_size=16).digest()


def order_of(order_by: str, allowed: Sequence[str], default: str) -> tuple[str, bool]:
    """The column to order by and whether it descends. Raises INVALID_FIELD."""
    words = (order_by or default).split()
    if not words or words[0] not in allowed or words[1:] not in ([], ["desc"], ["asc"]):
        raise invalid(Violation("order_by", f"must be one of {', '.join(allowed)}, each with an optional desc, not {order_by[:60]!r}"))
    return words[0], words[1:] == ["desc"]


def key_by(order: str) -> Callable[[Any], tuple[Any, ...]]:
    """What a message stands at in a list of this order: its name's key or its time, and its id."""

    def key_of(message: Any) -> tuple[Any, ...]:
        value = getattr(message, order)
        return (name_key(value) if isinstance(value, str) else value.ToDatetime(tzinfo=UTC), message.id)

    return key_of


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(token.encode("ascii") + b"===")
    except (ValueError, binascii.Error):
        return b""


def _to_json(part: Any) -> Any:
    match part:
        case bytes():
            return {"hex": part.hex()}
        case datetime():
            return {"time": part.isoformat()}
        case _:
            return part


def _from_json(part: Any) -> Any:
    match part:
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"time": text}:
            return datetime.fromisoformat(text)
        case _:
            return part
