"""Minted URLs for any number of recipients over one stream, a batch at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeVar

from trackedlinks.v1 import mailing_pb2, mailing_service_pb2, mailing_service_pb2_grpc

MOST_RECIPIENTS = 1000
"""Of one request; the service takes no more."""

WINDOW = 2
"""Batches under way: one is minted while the answers to the other are used."""


class ForRecipient(Protocol):
    """Something that stands for a recipient."""

    @property
    def recipient(self) -> mailing_pb2.Recipient:
        """Who it is."""


S = TypeVar("S", bound=ForRecipient)


Values = Callable[[S], Mapping[str, str]]


def nothing(row: ForRecipient) -> Mapping[str, str]:
    """What a row brings of a template without kept_fields."""
    return {}


class WrongAnswer(Exception):
    """The service answered a stream in a way that the contract rules out."""


def minted(
    mailings: mailing_service_pb2_grpc.MailingServiceStub, mailing_id: int, rows: Iterable[S], values: Values[S] = nothing
) -> Generator[tuple[S, mailing_service_pb2.RecipientUrls], None, None]:
    """Each of the rows with its recipient's URLs of a mailing, or the error in their place, in order.

    `values` gives what a row brings of the template's kept_fields; of all else that the rows hold nothing goes over the wire.
    Reads at most 2,000 rows ahead, whatever their number. Raises grpc.RpcError, WrongAnswer.
    """
    outgoing: SimpleQueue[mailing_service_pb2.MintUrlsRequest | None] = SimpleQueue()
    call = mailings.MintUrls(iter(outgoing.get, None))
    waiting: deque[tuple[int, list[S]]] = deque()
    try:
        for sequence, batch in enumerate(batches(rows, MOST_RECIPIENTS)):
            recipients = [_needed(row.recipient, values(row)) for row in batch]
            outgoing.put(mailing_service_pb2.MintUrlsRequest(mailing_id=mailing_id, sequence=sequence, recipients=recipients))
            waiting.append((sequence, batch))
            if len(waiting) == WINDOW:
                yield from _answered(call, *waiting.popleft())
        while waiting:
            yield from _answered(call, *waiting.popleft())
    finally:
        outgoing.put(None)
        call.cancel()


def batches(rows: Iterable[S], size: int) -> Iterator[list[S]]:
    """The rows in lists of at most so many."""
    batch: list[S] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _needed(recipient: mailing_pb2.Recipient, values: Mapping[str, str]) -> mailing_pb2.Recipient:
    """What minting needs: who it is, and the values that the service keeps."""
    needed = mailing_pb2.Recipient(test=recipient.test, do_not_track=recipient.do_not_track, merge_fields=values)
    if recipient.HasField("person_id"):
        needed.person_id = recipient.person_id
    elif recipient.HasField("email"):
        needed.email = recipient.email
    return needed


def _answered(
    call: Iterator[mailing_service_pb2.MintUrlsResponse], sequence: int, batch: Sequence[S]
) -> Iterator[tuple[S, mailing_service_pb2.RecipientUrls]]:
    position = 0
    while position < len(batch):
        response = next(call, None)
        if response is None:
            raise WrongAnswer(f"the stream of URLs ended {len(batch) - position} recipients early")
        if (response.sequence, response.first_recipient) != (sequence, position) or not response.results:
            raise WrongAnswer(f"URLs came for batch {response.sequence}, recipient {response.first_recipient}, not {sequence}, {position}")
        yield from zip(batch[position:], response.results, strict=False)
        position += len(response.results)
