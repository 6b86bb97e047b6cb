"""Click ids of other times than now."""

import time

from uuid_utils import uuid7


def uuid7_at(milliseconds: int) -> str:
    """A UUIDv7 with another time in it, milliseconds since 1970."""
    digits = f"{milliseconds:012x}" + uuid7().hex[12:]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
