"""ScriptService over gRPC: message in, use case, message out."""

from typing import Any

from server.model.script import Script, ScriptTrial
from server.rpc import checks, wire
from server.rpc.calls import request_of, run, user_of
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens, key_by
from server.scripts import Scripts
from server.store.pages import Page
from trackedlinks.v1 import script_pb2, script_service_pb2, script_service_pb2_grpc

WRITABLE = ("name", "description", "source")


class ScriptServicer(script_service_pb2_grpc.ScriptServiceServicer):
    """Serves the use cases of scripts."""

    def __init__(self, scripts: Scripts, tokens: PageTokens) -> None:
        self._scripts = scripts
        self._tokens = tokens

    async def CreateScript(self, request: script_service_pb2.CreateScriptRequest, context: Any) -> script_pb2.Script:
        with checks.AllAtOnce() as each:
            draft = each(wire.to_model, request.script, Script, "script")
            user = each(user_of, context)
            asked = each(request_of, request)
        return to_script(await self._scripts.create(draft, user, asked))

    async def GetScript(self, request: script_service_pb2.GetScriptRequest, context: Any) -> script_pb2.Script:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            each(checks.not_negative, version=request.version)
        return to_script(await self._scripts.get(request.id, request.version))

    async def ListScripts(self, request: script_service_pb2.ListScriptsRequest, context: Any) -> script_service_pb2.ListScriptsResponse:
        size = self._tokens.page_size(request)
        page = await self._scripts.page(self._tokens.after(request), size)
        return await run(self._listed, request, page)

    def _listed(self, request: script_service_pb2.ListScriptsRequest, page: Page[Script]) -> script_service_pb2.ListScriptsResponse:
        scripts, next_key = fitting(page, to_script, key_by("name"))
        return script_service_pb2.ListScriptsResponse(scripts=scripts, next_page_token=self._tokens.token(request, next_key))

    async def UpdateScript(self, request: script_service_pb2.UpdateScriptRequest, context: Any) -> script_pb2.Script:
        with checks.AllAtOnce() as each:
            each(checks.positive, **{"script.id": request.script.id})
            patch = each(wire.patch, request.script, request.update_mask, Script, WRITABLE, "script")
            user = each(user_of, context)
        return to_script(await self._scripts.update(request.script.id, request.script.etag, patch, user))

    async def TestScript(self, request: script_service_pb2.TestScriptRequest, context: Any) -> script_service_pb2.TestScriptResponse:
        with checks.AllAtOnce() as each:
            each(checks.one_of, request, "script")
            trial = each(wire.to_model, request, ScriptTrial, "")
        return wire.to_message(await self._scripts.test(trial), script_service_pb2.TestScriptResponse)


def to_script(script: Script) -> script_pb2.Script:
    """The script as it goes over the wire."""
    return wire.to_message(script, script_pb2.Script)
