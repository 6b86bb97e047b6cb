"""Leaves out who has unsubscribed from the type of mailing that is about to be sent."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import grpc

from trackedlinks.v1 import crm_service_pb2, crm_service_pb2_grpc
from trackedlinks_client.minting import MOST_RECIPIENTS, batches
from trackedlinks_client.people import Row


def subscribed(
    crm: crm_service_pb2_grpc.CrmServiceStub, rows: Iterable[Row], mailing_type_id: int, left_out: Callable[[Row], None]
) -> Iterator[Row]:
    """The rows, in order, of those who want this type of mailing; the others are told one by one. Raises grpc.RpcError.

    Where the server leaves subscriptions to another CRM, all rows are given: that CRM has chosen them.
    """
    for batch in batches(rows, MOST_RECIPIENTS):
        for row, wanted in zip(batch, _wanted(crm, batch, mailing_type_id), strict=True):
            if wanted:
                yield row
            else:
                left_out(row)


def _wanted(crm: crm_service_pb2_grpc.CrmServiceStub, batch: Sequence[Row], mailing_type_id: int) -> list[bool]:
    subscribers = [
        crm_service_pb2.Subscriber(person_id=row.recipient.person_id)
        if row.recipient.person_id
        else crm_service_pb2.Subscriber(email=row.recipient.email)
        for row in batch
    ]
    request = crm_service_pb2.GetSubscriptionsRequest(subscribers=subscribers, mailing_type_id=mailing_type_id)
    try:
        found = crm.GetSubscriptions(request)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return [True] * len(batch)
    return [all(each.subscribed for each in result.subscriptions) for result in found.results]
