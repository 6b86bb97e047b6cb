"""MailingService over gRPC: message in, use case, message out."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from trackedlinks.v1 import mailing_service_pb2, mailing_service_pb2_grpc

from server.model.errors import Violation, invalid
from server.model.mailing import Recipient
from server.rpc import checks
from server.rpc.calls import run
from server.rpc.recipients import Checked, checked, error_of, in_pieces
from server.urls import Mint, Minting


class MailingServicer(mailing_service_pb2_grpc.MailingServiceServicer):
    """Serves the use cases of mailings."""

    def __init__(self, minting: Minting) -> None:
        self._minting = minting

    async def MintUrls(
        self, request_iterator: AsyncIterator[mailing_service_pb2.MintUrlsRequest], context: Any
    ) -> AsyncIterator[mailing_service_pb2.MintUrlsResponse]:
        first: mailing_service_pb2.MintUrlsRequest | None = None
        async for request in request_iterator:
            if first is None:
                first, mint = request, await self._mint(request)
            _same_subject(first, request)
            results = await run(_minted, mint, checked(request))
            for start, some in in_pieces(results):
                yield mailing_service_pb2.MintUrlsResponse(sequence=request.sequence, first_recipient=start, results=some)

    async def _mint(self, request: mailing_service_pb2.MintUrlsRequest) -> Mint:
        checks.ids("link_ids", request.link_ids, 100)
        return await run(self._minting.outside, list(request.link_ids))


def _same_subject(first: mailing_service_pb2.MintUrlsRequest, request: mailing_service_pb2.MintUrlsRequest) -> None:
    if request.mailing_id not in (0, first.mailing_id):
        raise invalid(Violation("mailing_id", f"must be 0 or that of the first request, {first.mailing_id}, not {request.mailing_id}"))
    if request.link_ids and list(request.link_ids) != list(first.link_ids):
        raise invalid(Violation("link_ids", "must be empty or those of the first request"))


def _minted(mint: Mint, recipients: Sequence[Checked]) -> list[mailing_service_pb2.RecipientUrls]:
    minted = iter(mint.urls([recipient for recipient in recipients if isinstance(recipient, Recipient)]))
    return [
        _urls(next(minted)) if isinstance(recipient, Recipient) else mailing_service_pb2.RecipientUrls(error=error_of(recipient))
        for recipient in recipients
    ]


def _urls(urls: dict[int, str]) -> mailing_service_pb2.RecipientUrls:
    found = [mailing_service_pb2.TrackedUrl(placement_id=placement_id, url=url) for placement_id, url in urls.items()]
    return mailing_service_pb2.RecipientUrls(urls=found)
