"""Fills in what the CRM knows of recipients and their rows do not say: names and addresses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import grpc

from trackedlinks.v1 import crm_pb2, crm_service_pb2, crm_service_pb2_grpc, mailing_pb2
from trackedlinks_client.minting import MOST_RECIPIENTS, batches
from trackedlinks_client.people import Row


def completed(crm: crm_service_pb2_grpc.CrmServiceStub, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows in order, with name and address from the CRM where a person's row lacks them. Raises grpc.RpcError."""
    for batch in batches(rows, MOST_RECIPIENTS):
        lacking = [row.recipient.person_id for row in batch if not (row.email and row.recipient.name)]
        persons = _persons(crm, [person_id for person_id in lacking if person_id])
        for row in batch:
            person = persons.get(row.recipient.person_id)
            yield _completed(row, person) if person else row


def _persons(crm: crm_service_pb2_grpc.CrmServiceStub, ids: Sequence[int]) -> dict[int, crm_pb2.Person]:
    if not ids:
        return {}
    try:
        found = crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=ids))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:  # this server leaves persons to somebody else
            raise
        return {}
    return {person.id: person for person in found.persons}


def _completed(row: Row, person: crm_pb2.Person) -> Row:
    recipient = mailing_pb2.Recipient()
    recipient.CopyFrom(row.recipient)
    recipient.name = row.recipient.name or person.name
    return replace(row, recipient=recipient, email=row.email or person.email)
