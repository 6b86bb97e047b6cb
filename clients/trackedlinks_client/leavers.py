"""Leaves out who has unsubscribed from the type of mailing that is about to be sent."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import grpc

from trackedlinks.v1 import crm_service_pb2, crm_service_pb2_grpc
from trackedlinks_client.minting import WrongAnswer, batches
from trackedlinks_client.people import Row

ROWS = 500
"""In one question, which is about at most 1,000 subscribers: a row may name a person and an address."""


def subscribed(
    crm: crm_service_pb2_grpc.CrmServiceStub,
    rows: Iterable[Row],
    mailing_type_id: int,
    left_out: Callable[[Row], None],
    unknown: Callable[[], None],
) -> Iterator[Row]:
    """The rows, in order, of those who want this type of mailing; the others are told one by one.

    A row that names nobody is given: minting says what is wrong with it. Where the server leaves subscriptions to another CRM all rows are
    given, and `unknown` is called once: that CRM has to have chosen them. Raises grpc.RpcError, WrongAnswer.
    """
    remaining = iter(rows)
    for batch in batches(remaining, ROWS):
        try:
            answers = _wanted(crm, batch, mailing_type_id)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            unknown()
            yield from batch
            break
        for row, wanted in zip(batch, answers, strict=True):
            if wanted:
                yield row
            else:
                left_out(row)
    yield from remaining


def _wanted(crm: crm_service_pb2_grpc.CrmServiceStub, batch: Sequence[Row], mailing_type_id: int) -> list[bool]:
    subscribers = [_subscribers(row) for row in batch]
    everybody = [each for some in subscribers for each in some]
    request = crm_service_pb2.GetSubscriptionsRequest(subscribers=everybody, mailing_type_id=mailing_type_id)
    try:
        found = iter(crm.GetSubscriptions(request).results)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        if len(batch) == 1:
            return [True]
        middle = len(batch) // 2  # one of them is no address
        return _wanted(crm, batch[:middle], mailing_type_id) + _wanted(crm, batch[middle:], mailing_type_id)
    answers = [[next(found, None) for _ in some] for some in subscribers]
    if next(found, None) is not None or not all(each and len(each.subscriptions) == 1 for some in answers for each in some):
        raise WrongAnswer("the CRM does not say of each recipient whether this type of mailing is wanted")
    return [all(each.subscriptions[0].subscribed for each in some if each) for some in answers]


def _subscribers(row: Row) -> list[crm_service_pb2.Subscriber]:
    """A person, and where the mail goes: whoever reads there may have left as well."""
    person = [crm_service_pb2.Subscriber(person_id=row.recipient.person_id)] if row.recipient.person_id else []
    email = row.email or row.recipient.email
    return person + ([crm_service_pb2.Subscriber(email=email)] if email else [])
