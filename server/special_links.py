"""What the token of a special link stands for: whose it is, of which mailing, and until when it is valid."""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redirect.token import Claims, Verifier
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY
from server.model.mailing import Mailing, PlacementKind
from server.store.kept import KeptStore, kept_key
from server.store.special_placements import SpecialPlacementStore


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A special link that a recipient has opened. A trial's page shows the same and changes nothing: it is of a test mail, or nobody's."""

    token: str
    kind: PlacementKind
    mailing: Mailing
    recipient: int
    claims: Claims

    @property
    def is_trial(self) -> bool:
        """Whether nothing is to be changed."""
        return self.claims.test or self.recipient == NOBODY


class SpecialLinks:
    """Opens special links by their tokens."""

    def __init__(self, verifier: Verifier, placements: SpecialPlacementStore) -> None:
        self._verifier = verifier
        self._placements = placements

    def opened(self, token: str, *kinds: PlacementKind) -> OpenedLink:
        """The link. Blocks. Raises TOKEN_INVALID for a token that was not minted here, or of another kind of link."""
        claims = self._verifier.verify(token.encode("utf-8", "replace"))
        found = self._placements.get(claims.placement_id) if claims else None
        if claims is None or found is None or found.kind not in kinds:
            wanted = " or ".join(kind.name.replace("_", "-") for kind in kinds)
            raise DomainError(Reason.token_invalid, f"the token was not minted here, or for no {wanted} link")
        return OpenedLink(token, found.kind, found.mailing, claims.recipient, claims)


class Validity:
    """Until when links to manage subscriptions are valid: so long after their URLs were minted, or were renewed."""

    def __init__(self, key: bytes, kept: KeptStore, valid_for: timedelta) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=_TAG_BYTES)
        self._kept = kept
        self._valid_for = valid_for

    def of(self, link: OpenedLink, renewal: str, now: datetime) -> datetime:
        """Until when the link is valid. Blocks. Raises SUBSCRIPTION_LINK_EXPIRED; TOKEN_INVALID for a renewal that was not made here."""
        until = self._read(link.token, renewal) if renewal else self._since_minting(link, now)
        if until is None or until < now:
            raise DomainError(Reason.subscription_link_expired, "the link to manage subscriptions is no longer valid: renew it")
        return until

    def _since_minting(self, link: OpenedLink, now: datetime) -> datetime | None:
        if link.recipient == NOBODY:
            return now + self._valid_for
        kept = self._kept.of(link.mailing.id, kept_key(link.recipient, link.claims.test))
        return kept.time + self._valid_for if kept else None

    def renewal(self, token: str, now: datetime) -> tuple[str, datetime]:
        """What is put behind the token of a link to renew it, and until when it is valid then."""
        seconds = int((now + self._valid_for).timestamp())
        stamp = seconds.to_bytes(_TIME_BYTES, "big")
        return urlsafe_b64encode(stamp + self._tag(token, stamp)).decode("ascii"), datetime.fromtimestamp(seconds, UTC)

    def _read(self, token: str, renewal: str) -> datetime:
        try:
            content = urlsafe_b64decode(renewal.encode("ascii")) if len(renewal) == _CHARACTERS else b""
        except (UnicodeEncodeError, binascii.Error):
            content = b""
        stamp, tag = content[:_TIME_BYTES], content[_TIME_BYTES:]
        if not hmac.compare_digest(tag, self._tag(token, stamp)) or urlsafe_b64encode(content).decode("ascii") != renewal:
            raise DomainError(Reason.token_invalid, "the renewal was not made here, or not for this token")
        return datetime.fromtimestamp(int.from_bytes(stamp, "big"), UTC)

    def _tag(self, token: str, stamp: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(stamp + token.encode("utf-8", "replace"))
        return keyed.digest()


_TIME_BYTES, _TAG_BYTES = 5, 10
_CHARACTERS = 20
"""Of a renewal: 15 bytes in base64, without padding."""
