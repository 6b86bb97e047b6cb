"""What of a click is kept on this machine's disk until the server has it: what counting needs, and not more."""

from redirect import token
from redirect.snapshot import Known
from redirect.waiting import Request
from trackedlinks.v1 import click_service_pb2


class Keeping:
    """Leaves out of clicks what must not be kept."""

    def __init__(self, keys: token.Keys) -> None:
        self._keys = keys
        self._verifier = token.Verifier(keys)

    def content(self, click: Request, known: Known | None) -> bytes:
        """What the journal keeps of a click on a placement of which so much is known.

        A recipient who is not to be tracked is written nowhere: the token becomes one for the same placement and nobody, which is counted
        alike. Only where the click may let them leave, or where that is not known, is who clicked kept: an opt-out that is lost is worse.
        """
        claims = self._verifier.verify(click.token.encode("utf-8", "surrogateescape"))
        if claims is None or not claims.do_not_track or known is None or known.lets_leave:
            return click.SerializeToString()
        kept = click_service_pb2.RecordClickRequest()
        kept.CopyFrom(click)
        kept.token = self._of_nobody(claims, click.token[-1])
        return kept.SerializeToString()

    def _of_nobody(self, claims: token.Claims, key_id: str) -> str:
        """A token with the key that the recipient's own has, since the server knows that one."""
        minter = token.Minter(token.Keys(self._keys.secrets, key_id))
        flags = token.DO_NOT_TRACK | (token.TEST if claims.test else 0)
        return minter.mint(minter.prefix(claims.placement_id), 0, flags)
