"""What a tracked URL looks like: minting and verifying tokens, and the key file. Standard library only; server and front door share it.

    token = base64url( varint placement · varint recipient · flags · tag (10 bytes) ) · key id

The tag is keyed BLAKE2b over key id and payload. The key id is a letter or digit and comes last, so that no mail program cuts the end.
The payload is signed, not secret (docs/adr/0002).
"""

import binascii
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

KEYS_METADATA = "trackedlinks-keys"
"""The metadata in which a server says `Keys.summary()` when a stream of clicks opens."""

TAG_BYTES = 10
KEY_BYTES = 32
TEST, DO_NOT_TRACK = 1, 2
_FLAGS = TEST | DO_NOT_TRACK
_MAX = 2**63 - 1
SHORTEST, _LONGEST = 19, 44
"""Characters of a token: 3 to 19 bytes of payload with the tag, and the key id."""
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_BEYOND = 2**10
_PADDING = [b"", b"===", b"==", b"="]
_ONE_BYTE = [bytes((value,)) for value in range(256)]


class Claims(NamedTuple):
    """What a token says: which placement, which recipient (0 = nobody), and how to treat the click."""

    placement_id: int
    recipient: int
    test: bool = False
    do_not_track: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that verify, by their id (one letter or digit), and the id of the one that mints."""

    secrets: Mapping[str, bytes]
    minting: str

    def fingerprints(self) -> dict[str, str]:
        """What a key is recognised by without being told: a hash, by key id."""
        return {key_id: hashlib.blake2b(key, digest_size=16, person=b"fingerprint").hexdigest() for key_id, key in self.secrets.items()}

    def summary(self) -> str:
        """All fingerprints in one line, that of the minting key first."""
        found = self.fingerprints()
        order = [self.minting, *sorted(found.keys() - {self.minting})]
        return ",".join(f"{key_id}:{found[key_id]}" for key_id in order)

    def agrees_with(self, summary: str) -> bool:
        """Whether tokens that are minted where the summary comes from verify here: its minting key is known, and no key is another one.

        One side may have more keys than the other: that is how keys are rotated, one process after the other.
        """
        found = self.fingerprints()
        theirs = dict(pair.split(":", 1) for pair in summary.split(",") if ":" in pair)
        minting = summary.partition(":")[0]
        return minting in found and all(found.get(key_id, theirs[key_id]) == theirs[key_id] for key_id in theirs)

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose than tokens, made from the minting key."""
        return hashlib.blake2b(purpose.encode(), key=self.secrets[self.minting], digest_size=32, person=b"derived").digest()


class Minter:
    """Mints tokens with one key."""

    def __init__(self, keys: Keys) -> None:
        self._key_id = keys.minting.encode("ascii")
        self._keyed = hashlib.blake2b(self._key_id, key=keys.secrets[keys.minting], digest_size=TAG_BYTES)

    def prefix(self, placement_id: int) -> bytes:
        """The part of a token's payload that is the same for all recipients; worth keeping in a loop."""
        return _varint(placement_id)

    def mint(self, prefix: bytes, recipient: int, flags: int = 0) -> str:
        """The token for a placement (by its prefix), a recipient and flags (TEST | DO_NOT_TRACK)."""
        payload = prefix + _varint(recipient) + _ONE_BYTE[flags]
        keyed = self._keyed.copy()
        keyed.update(payload)
        encoded = binascii.b2a_base64(payload + keyed.digest(), newline=False).rstrip(b"=").translate(_TO_URL)
        return (encoded + self._key_id).decode("ascii")


class Verifier:
    """Verifies tokens with every key there is. Exactly the minted spelling verifies."""

    def __init__(self, keys: Keys) -> None:
        self._keyed = {
            key_id.encode("ascii"): hashlib.blake2b(key_id.encode("ascii"), key=key, digest_size=TAG_BYTES)
            for key_id, key in keys.secrets.items()
        }

    def verify(self, token: bytes) -> Claims | None:
        """What the token says, or None when it was not minted with one of the keys in this very spelling."""
        keyed = self._keyed.get(token[-1:])
        if keyed is None or not SHORTEST <= len(token) <= _LONGEST:
            return None
        encoded = token[:-1]
        try:
            content = binascii.a2b_base64(encoded.translate(_FROM_URL) + _PADDING[len(encoded) % 4])
        except binascii.Error:
            return None
        payload = content[:-TAG_BYTES]
        keyed = keyed.copy()
        keyed.update(payload)
        if not hmac.compare_digest(keyed.digest(), content[-TAG_BYTES:]):
            return None
        # The decoder is lax: it skips other characters, takes those of the other alphabet, and ignores unused bits (four spellings of the
        # last character decode alike, tried). Only the spelling that is made again from what was read passes.
        if binascii.b2a_base64(content, newline=False).rstrip(b"=").translate(_TO_URL) != encoded:
            return None
        return _claims(payload)


def load(path: Path) -> Keys:
    """The keys of a key file. Raises OSError when it cannot be read and ValueError, naming the file, when it holds no keys."""
    try:
        content = json.loads(path.read_text("ascii"))
        keys = Keys({key_id: bytes.fromhex(key) for key_id, key in content["keys"].items()}, content["minting"])
        sound = keys.minting in keys.secrets and all(
            len(key_id) == 1 and key_id.isascii() and key_id.isalnum() and len(key) == KEY_BYTES for key_id, key in keys.secrets.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no key file: {type(error).__name__}") from error
    if not sound:
        raise ValueError(
            f"{path} is no key file: it wants ids of one letter or digit, keys of {KEY_BYTES} bytes, and a minting key among them"
        )
    return keys


def create(path: Path) -> Keys:
    """Makes a key file with one new key, readable by its owner only; the keys of another process that was faster are kept."""
    keys = Keys({"A": secrets.token_bytes(KEY_BYTES)}, "A")
    content = json.dumps({"minting": keys.minting, "keys": {key_id: key.hex() for key_id, key in keys.secrets.items()}})
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".keys-")  # 0600 by its contract
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # never replaces: a silently remade key would turn every mailed link into a 404
    except FileExistsError:
        return load(path)
    finally:
        os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return keys


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(payload: bytes, start: int) -> tuple[int, int]:
    """The number that begins at `start` and where it ends; beyond the payload when there is none in its shortest form."""
    if start < len(payload) and payload[start] < 0x80:
        return payload[start], start + 1
    value = shift = 0
    for index in range(start, len(payload)):
        byte = payload[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            shortest = byte != 0 or index == start
            return value, index + 1 if shortest and value <= _MAX else _BEYOND
        shift += 7
    return value, _BEYOND


def _claims(payload: bytes) -> Claims | None:
    placement_id, here = _read_varint(payload, 0)
    recipient, here = _read_varint(payload, here)
    flags = payload[-1] if payload else 0
    if here != len(payload) - 1 or flags & ~_FLAGS or placement_id == 0:
        return None
    return Claims(placement_id, recipient, bool(flags & TEST), bool(flags & DO_NOT_TRACK))
