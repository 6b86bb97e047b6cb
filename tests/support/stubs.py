"""A connection to a server under test, with a stub for each service."""

from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from trackedlinks.v1 import (
    action_service_pb2_grpc,
    click_service_pb2_grpc,
    crm_service_pb2_grpc,
    embedded_crm_service_pb2_grpc,
    folder_service_pb2_grpc,
    link_service_pb2_grpc,
    mailing_service_pb2_grpc,
    recipient_service_pb2_grpc,
    script_service_pb2_grpc,
)


class Stubs:
    """The stubs of every service, over one channel, which has a connection of its own."""

    def __init__(self, address: str, user: int = 0) -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.links: Any = link_service_pb2_grpc.LinkServiceStub(self.channel)
        self.folders: Any = folder_service_pb2_grpc.FolderServiceStub(self.channel)
        self.mailings: Any = mailing_service_pb2_grpc.MailingServiceStub(self.channel)
        self.scripts: Any = script_service_pb2_grpc.ScriptServiceStub(self.channel)
        self.clicks: Any = click_service_pb2_grpc.ClickServiceStub(self.channel)
        self.actions: Any = action_service_pb2_grpc.ActionServiceStub(self.channel)
        self.recipients: Any = recipient_service_pb2_grpc.RecipientServiceStub(self.channel)
        self.crm: Any = crm_service_pb2_grpc.CrmServiceStub(self.channel)
        self.embedded_crm: Any = embedded_crm_service_pb2_grpc.EmbeddedCrmServiceStub(self.channel)


class Refused:
    """A refused call: its code, the reason of its ErrorInfo, and the fields of its BadRequest."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                assert info.domain == "trackedlinks"
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                self.fields = {violation.field: violation.description for violation in request.field_violations}


async def refused(call: Any) -> Refused:
    """How a call is refused; fails when it is not."""
    try:
        response = await call
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    raise AssertionError(f"the call was not refused: {response}")
