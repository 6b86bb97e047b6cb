"""Domain errors become gRPC statuses here and nowhere else; INTERNAL is a defect of the server, whatever a caller sends."""

from collections.abc import Iterable
from string import punctuation
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
import structlog
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from server.model.errors import DomainError, Reason, Violation
from server.store.database import without_data

log = structlog.get_logger()

DOMAIN = "trackedlinks"

CODES = {
    Reason.invalid_field: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.malformed_request: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.page_token_invalid: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.reference_not_found: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.message_too_large: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.message_link_unknown: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.script_invalid: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.click_id_reused: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.folder_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.link_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.mailing_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.person_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.entry_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.token_invalid: grpc.StatusCode.NOT_FOUND,
    Reason.action_run_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.script_not_found: grpc.StatusCode.NOT_FOUND,
    Reason.message_gone: grpc.StatusCode.NOT_FOUND,
    Reason.folder_name_taken: grpc.StatusCode.ALREADY_EXISTS,
    Reason.request_id_reused: grpc.StatusCode.ALREADY_EXISTS,
    Reason.entry_name_taken: grpc.StatusCode.ALREADY_EXISTS,
    Reason.person_email_taken: grpc.StatusCode.ALREADY_EXISTS,
    Reason.script_name_taken: grpc.StatusCode.ALREADY_EXISTS,
    Reason.etag_mismatch: grpc.StatusCode.ABORTED,
    Reason.folder_not_empty: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.folder_cycle: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.link_is_local: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.link_deleted: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.mailing_deleted: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.message_missing: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.click_time_refused: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.click_time_ahead: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.crm_is_remote: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.mailing_type_missing: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.mailing_type_fixed: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.subscription_link_expired: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.database_put_back: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.click_queue_full: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.scripts_busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.server_busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.stream_idle: grpc.StatusCode.ABORTED,
    Reason.store_unavailable: grpc.StatusCode.UNAVAILABLE,
    Reason.crm_unavailable: grpc.StatusCode.UNAVAILABLE,
    Reason.server_stopping: grpc.StatusCode.UNAVAILABLE,
    Reason.defect: grpc.StatusCode.INTERNAL,
}

SOON = duration_pb2.Duration(nanos=250_000_000)
IN_A_SECOND, IN_A_MINUTE = duration_pb2.Duration(seconds=1), duration_pb2.Duration(seconds=60)

RETRYABLE = {
    Reason.click_queue_full: SOON,
    Reason.scripts_busy: SOON,
    Reason.server_busy: IN_A_SECOND,
    Reason.stream_idle: SOON,
    Reason.store_unavailable: SOON,
    Reason.crm_unavailable: SOON,
    Reason.server_stopping: SOON,
    Reason.click_time_ahead: IN_A_MINUTE,
}
"""The same call may succeed later, unchanged, and after how long it makes sense to try."""

MOST_HEADER_BYTES = 8192
"""A status travels in headers, of which clients take 8 KiB (grpc-java refuses more): violations beyond are counted in the message only."""

_OTHER_HEADERS = 600
_MOST_MESSAGE, _MOST_FIELD, _MOST_DESCRIPTION, _MOST_METADATA = 500, 200, 300, 200


def status_of(error: DomainError) -> status_pb2.Status:
    """The error as it goes over the wire: code, message, ErrorInfo, and BadRequest or RetryInfo where they apply."""
    status = status_pb2.Status(code=CODES[error.reason].value[0], message=_cut(error.message, _MOST_MESSAGE))
    metadata = {name: _cut(value, _MOST_METADATA) for name, value in error.metadata.items()}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata))
    if error.reason in RETRYABLE:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=RETRYABLE[error.reason]))
    if error.violations:
        status.details.add().Pack(_bad_request(error.violations, _room_beside(status)))
    return status


async def abort(error: Exception, method: str, context: Any) -> NoReturn:
    """Ends a call by what was raised in it, as a status with details. A defect is logged."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, DomainError):
        log.error("defect", method=method, exc_info=without_data(error))
        error = DomainError(Reason.defect, "the server has a defect; its log says more", method=method)
    elif error.reason is Reason.store_unavailable:
        log.warning("store_unavailable", method=method, **error.metadata)
    status = status_of(error)
    assert status.code != code_pb2.OK
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("unreachable: abort_with_status raises")


def _bad_request(violations: Iterable[Violation], room: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for violation in violations:
        field, description = _cut(violation.field, _MOST_FIELD), _cut(violation.description, _MOST_DESCRIPTION)
        listed = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
        room -= listed.ByteSize() + 4
        if room < 0:
            break
        request.field_violations.append(listed)
    return request


def _room_beside(status: status_pb2.Status) -> int:
    """The bytes that are left for a BadRequest: details travel as base64, and every byte of the message as up to three."""
    message = len(quote(status.message, safe=" " + punctuation))
    size: int = status.ByteSize()
    return (MOST_HEADER_BYTES - _OTHER_HEADERS - message) * 3 // 4 - size


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")
