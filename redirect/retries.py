"""What a proxy says of a request, so that the same one, sent again to another front door, is the same click."""

import hashlib
import re
import uuid

START_SECONDS = 60
"""How far the proxy's clock, and the time that a retry takes, may be from the time here."""

_ID = re.compile(rb"[!-~]{8,200}")
_START = re.compile(rb"(?:t=)?([0-9]{10})\.?([0-9]{3})[0-9]{0,6}")
"""Seconds with milliseconds as nginx has it ($msec), or milliseconds as HAProxy; finer digits do not matter."""


def retried_click_id(headers: list[tuple[bytes, bytes]], token: bytes, now: int) -> str | None:
    """The click id of a request for this token that a proxy has named (`x-request-id`) and timed (`x-request-start`).

    The same at every front door, since the time in it is when the proxy first had the request, and not `now` (nanoseconds). None where
    one of the two headers is missing, comes twice, is not as it should be, or is of another time: then this is a click of its own.
    """
    names = [value for name, value in headers if name == b"x-request-id"]
    starts = [value for name, value in headers if name == b"x-request-start"]
    if len(names) != 1 or len(starts) != 1 or not _ID.fullmatch(names[0]) or (start := _START.fullmatch(starts[0])) is None:
        return None
    milliseconds = int(start[1] + start[2])
    if abs(now // 1_000_000 - milliseconds) > START_SECONDS * 1000:
        return None
    digest = bytearray(hashlib.blake2b(names[0] + b"\0" + token, digest_size=10).digest())
    digest[0] = digest[0] & 0x0F | 0x70  # the version, and below the variant of a UUID. Source: RFC 9562, 5.7
    digest[2] = digest[2] & 0x3F | 0x80
    return str(uuid.UUID(bytes=milliseconds.to_bytes(6, "big") + bytes(digest)))
