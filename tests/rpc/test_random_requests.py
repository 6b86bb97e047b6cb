"""Requests filled at random, at every unary RPC of six services: none is answered as a defect."""

from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.messages import filled
from tests.support.resources import create_folder, create_link
from tests.support.stubs import Refused, Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    crm_service_pb2,
    folder_service_pb2,
    link_service_pb2,
    recipient_service_pb2,
    script_service_pb2,
)

MODULES = (folder_service_pb2, link_service_pb2, action_service_pb2, script_service_pb2, crm_service_pb2, recipient_service_pb2)

METHODS = {
    f"/{service.full_name}/{method.name}": (
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
    )
    for module in MODULES
    for name in module.DESCRIPTOR.services_by_name
    for service in [descriptor_pool.Default().FindServiceByName(f"trackedlinks.v1.{name}")]
    for method in service.methods
}

EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
}

_requests = st.sampled_from(sorted(METHODS)).flatmap(lambda path: st.tuples(st.just(path), filled(METHODS[path][0])))
_users = st.sampled_from([None, None, None, "1", "2", str(2**63 - 1), "", "-1", "x", "0" * 19 + "5" + "9" * 20])


@given(calls=st.lists(st.tuples(_requests, _users), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_a_random_request_is_served_or_refused_and_never_a_defect(
    stubs: Stubs, calls: list[tuple[tuple[str, Any], str | None]]
) -> None:
    folder = await stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(page_size=1))
    if not folder.folders:
        parent = await create_folder(stubs, "parent")
        await create_folder(stubs, "child", parent_id=parent.id)
        await create_link(stubs)
        await create_link(stubs, folder_id=parent.id)
    for (path, request), user in calls:
        _, response = METHODS[path]
        call: Any = stubs.channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        try:
            await call(request, metadata=None if user is None else [("trackedlinks-user-id", user)])
        except grpc.aio.AioRpcError as error:
            answer = Refused(error)
            assert answer.code in EXPECTED, (path, request, answer.code, answer.message)
            assert answer.reason, (path, request)
            assert (answer.code == grpc.StatusCode.INVALID_ARGUMENT) == bool(answer.fields) or answer.reason == "PAGE_TOKEN_INVALID"
