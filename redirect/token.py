"""What a tracked URL looks like: minting and verifying tokens, and the key file. Standard library only; server and front door share it.

    token = base64url( varint placement · varint recipient · flags · tag (10 bytes) ) · key id

The tag is keyed BLAKE2b over key id and payload. The key id is a letter or digit and comes last, so that no mail program cuts the end.
The payload is signed, not secret (docs/adr/0002).
"""

import binascii
import hashlib
import json
import os
import secrets
import stat
import tempfile
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
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
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ENDS = [(b"=", _ALPHABET[::4]), (b"", _ALPHABET), (b"", b""), (b"==", _ALPHABET[::16])]
"""By the length of a token, modulo 4: the padding that its base64 lacks, and the characters it may end with before the key id."""
_ONE_BYTE = [bytes((value,)) for value in range(256)]


class Claims(NamedTuple):
    """What a token says: which placement, which recipient (0 = nobody), and how to treat the click."""

    placement_id: int
    recipient: int
    test: bool = False
    do_not_track: bool = False


_new: Callable[[type[Claims], tuple[int, int, bool, bool]], Claims] = tuple.__new__
"""What a NamedTuple's own constructor does, in half the time."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that verify, by their id (one letter or digit), and the id of the one that mints."""

    secrets: Mapping[str, bytes]
    minting: str
    known_to_group: bool = field(default=False, compare=False)
    """Others can read the file that they are from, of its group: worth a warning, where it is not a secret that is mounted so."""

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
        length = len(token)
        if keyed is None or not SHORTEST <= length <= _LONGEST:
            return None
        # The decoder is told to be strict, and knows the other alphabet: what is not of ours becomes a character of neither. What it still
        # ignores are unused bits (four spellings of the last character decode alike, tried): there only the one in which they are 0 passes.
        fill, lasts = _ENDS[length & 3]
        if token[-2] not in lasts:
            return None
        try:
            content = a2b_base64(token[:-1].translate(_FROM_URL) + fill, strict_mode=True)
        except binascii.Error:
            return None
        payload = content[:-TAG_BYTES]
        keyed = keyed.copy()
        keyed.update(payload)
        if not compare_digest(keyed.digest(), content[-TAG_BYTES:]):
            return None
        return _claims(payload)


def load(path: Path) -> Keys:
    """The keys of a key file. Raises OSError when it cannot be read and ValueError, naming the file, when it holds no keys.

    ValueError, too, for a file that everybody can read, or that others can change: who has the keys can click as anybody. That a group
    reads it is how secrets are mounted for a process that is not root (0440, with a group of its own).
    """
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is no key file: it is no file")
        if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            who = "everybody" if found.st_mode & stat.S_IRWXO else "its group"
            what = "read" if found.st_mode & stat.S_IROTH else "change"
            raise ValueError(f"{path} has keys that {who} can {what}: chmod 600 {path}")
        stored = file.read()
    try:
        content = json.loads(stored.decode("ascii"))
        secret = {key_id: bytes.fromhex(key) for key_id, key in content["keys"].items()}
        keys = Keys(secret, content["minting"], bool(found.st_mode & stat.S_IRGRP))
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


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # who opens a pipe waits until somebody writes to it


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _claims(payload: bytes) -> Claims | None:
    """What a payload says: two numbers and known flags, each in its shortest form; None for any other."""
    numbers: list[int] = []
    value = shift = 0
    for byte in payload:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        elif not shift:
            numbers.append(byte)
        elif byte:
            numbers.append(value | byte << shift)
            value = shift = 0
        else:
            return None
    if shift or len(numbers) != 3:
        return None
    placement_id, recipient, flags = numbers
    if not 0 < placement_id <= _MAX or recipient > _MAX or flags > _FLAGS:
        return None
    return _new(Claims, (placement_id, recipient, flags & TEST != 0, flags & DO_NOT_TRACK != 0))
