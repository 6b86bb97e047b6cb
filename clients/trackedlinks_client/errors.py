"""What a refused call says, for people."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "trackedlinks"


@dataclass(eq=False)  # not frozen: contextlib sets __traceback__
class CallRefused(Exception):
    """A call that the service, or the way to it, did not take. `str()` gives one line per violation."""

    code: grpc.StatusCode
    """What kind of refusal, for a program."""

    reason: str
    """The name of an ErrorReason without its prefix, such as LINK_NOT_FOUND; empty when the service was not reached."""

    message: str
    """What is wrong, for a developer."""

    fields: tuple[tuple[str, str], ...] = ()
    """Every violation: the path of the field in the request, and what is wrong with it."""

    @classmethod
    def of(cls, error: grpc.RpcError) -> "CallRefused":
        """What an error that a stub raised says."""
        reason, fields = "", []
        for detail in _details(error):
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason.removeprefix("ERROR_REASON_")
            elif detail.Unpack(request):
                fields += [(violation.field, violation.description) for violation in request.field_violations]
        return cls(error.code(), reason, error.details() or "", tuple(fields))

    def __str__(self) -> str:
        return "\n".join(f"{field}: {description}" if field else description for field, description in self.fields) or self.message


def _details(error: grpc.RpcError) -> list[Any]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # the details contradict the status: something between here and the service has changed it
        return []
    return list(status.details) if status else []
