"""What can be wrong with a call, in the domain's words; gRPC codes are given to it in server/rpc/errors.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a call was refused: the members of ErrorReason in protos/trackedlinks/v1/error.proto."""

    invalid_field = "INVALID_FIELD"
    malformed_request = "MALFORMED_REQUEST"
    page_token_invalid = "PAGE_TOKEN_INVALID"
    reference_not_found = "REFERENCE_NOT_FOUND"
    message_too_large = "MESSAGE_TOO_LARGE"
    message_link_unknown = "MESSAGE_LINK_UNKNOWN"
    script_invalid = "SCRIPT_INVALID"
    click_id_reused = "CLICK_ID_REUSED"
    folder_not_found = "FOLDER_NOT_FOUND"
    link_not_found = "LINK_NOT_FOUND"
    mailing_not_found = "MAILING_NOT_FOUND"
    person_not_found = "PERSON_NOT_FOUND"
    entry_not_found = "ENTRY_NOT_FOUND"
    token_invalid = "TOKEN_INVALID"
    action_run_not_found = "ACTION_RUN_NOT_FOUND"
    script_not_found = "SCRIPT_NOT_FOUND"
    message_gone = "MESSAGE_GONE"
    folder_name_taken = "FOLDER_NAME_TAKEN"
    request_id_reused = "REQUEST_ID_REUSED"
    entry_name_taken = "ENTRY_NAME_TAKEN"
    person_email_taken = "PERSON_EMAIL_TAKEN"
    script_name_taken = "SCRIPT_NAME_TAKEN"
    etag_mismatch = "ETAG_MISMATCH"
    folder_not_empty = "FOLDER_NOT_EMPTY"
    folder_cycle = "FOLDER_CYCLE"
    link_is_local = "LINK_IS_LOCAL"
    link_deleted = "LINK_DELETED"
    mailing_deleted = "MAILING_DELETED"
    message_missing = "MESSAGE_MISSING"
    click_time_refused = "CLICK_TIME_REFUSED"
    click_time_ahead = "CLICK_TIME_AHEAD"
    crm_is_remote = "CRM_IS_REMOTE"
    mailing_type_missing = "MAILING_TYPE_MISSING"
    mailing_type_fixed = "MAILING_TYPE_FIXED"
    subscription_link_expired = "SUBSCRIPTION_LINK_EXPIRED"
    database_put_back = "DATABASE_PUT_BACK"
    click_queue_full = "CLICK_QUEUE_FULL"
    scripts_busy = "SCRIPTS_BUSY"
    server_busy = "SERVER_BUSY"
    stream_idle = "STREAM_IDLE"
    store_unavailable = "STORE_UNAVAILABLE"
    crm_unavailable = "CRM_UNAVAILABLE"
    server_stopping = "SERVER_STOPPING"
    defect = "DEFECT"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field by its path in the request, and what is wrong with it, for a developer."""

    field: str
    description: str


class DomainError(Exception):
    """A call that cannot be served, with its reason, facts for a program, and every violation of the request's fields."""

    def __init__(self, reason: Reason, message: str, violations: Sequence[Violation] = (), **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata: Mapping[str, str] = {name: str(value) for name, value in metadata.items()}


def invalid(*violations: Violation) -> DomainError:
    """The error for a request whose fields break rules; its message names the first one."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return DomainError(Reason.invalid_field, f"{first.field}: {first.description}{more}", violations)


def etag_mismatch(resource: str, resource_id: int, current: str) -> DomainError:
    """The error for a change that names another revision than the current one."""
    return DomainError(Reason.etag_mismatch, f"{resource} {resource_id} has changed since; read it again", id=resource_id, etag=current)
