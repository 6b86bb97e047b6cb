"""LinkService over gRPC: message in, use case, message out."""

from typing import Any

from server.links import Links
from server.model.link import CountedLink, Link, LinkQuery
from server.rpc import checks, wire
from server.rpc.calls import request_of, user_of
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens, key_by, order_of
from trackedlinks.v1 import link_pb2, link_service_pb2, link_service_pb2_grpc

WRITABLE = ("name", "redirect", "custom_text", "form", "actions")
ORDERS = ("name", "create_time", "update_time")


class LinkServicer(link_service_pb2_grpc.LinkServiceServicer):
    """Serves the use cases of links."""

    def __init__(self, links: Links, tokens: PageTokens) -> None:
        self._links = links
        self._tokens = tokens

    def CreateLink(self, request: link_service_pb2.CreateLinkRequest, context: Any) -> link_pb2.Link:
        with checks.AllAtOnce() as each:
            draft = each(wire.to_model, request.link, Link, "link")
            user, asked = each(user_of, context), each(request_of, request)
        links = self._links.create([draft], ["link"], user, asked)
        return to_link(links[0])

    def BatchCreateLinks(
        self, request: link_service_pb2.BatchCreateLinksRequest, context: Any
    ) -> link_service_pb2.BatchCreateLinksResponse:
        checks.count("links", len(request.links), 500)
        paths = [f"links[{index}]" for index in range(len(request.links))]
        checks.answer_fits("links", request)  # what is made is answered: it must go back as it came
        with checks.AllAtOnce() as each:
            drafts = [each(wire.to_model, link, Link, path) for link, path in zip(request.links, paths, strict=True)]
            user, asked = each(user_of, context), each(request_of, request)
        links = self._links.create(drafts, paths, user, asked)
        return link_service_pb2.BatchCreateLinksResponse(links=map(to_link, links))

    def GetLink(self, request: link_service_pb2.GetLinkRequest, context: Any) -> link_pb2.Link:
        checks.positive(id=request.id)
        return to_link((self._links.get([request.id]))[0])

    def BatchGetLinks(self, request: link_service_pb2.BatchGetLinksRequest, context: Any) -> link_service_pb2.BatchGetLinksResponse:
        checks.ids("ids", request.ids, 100)
        answer = link_service_pb2.BatchGetLinksResponse(links=map(to_link, self._links.get(list(request.ids))))
        checks.answer_fits("ids", answer)
        return answer

    def ListLinks(self, request: link_service_pb2.ListLinksRequest, context: Any) -> link_service_pb2.ListLinksResponse:
        with checks.AllAtOnce() as each:
            each(checks.not_negative, folder_id=request.folder_id)
            creator = each(checks.mine, each(user_of, context)) if request.mine else None
            each(checks.query, request.query)
            size = each(self._tokens.page_size, request)
            order = each(order_of, request.order_by, ORDERS, "name")
        after = self._tokens.after(request)
        folder_id = request.folder_id if request.HasField("folder_id") else None
        query = LinkQuery(folder_id, request.include_subfolders, creator, request.query, request.show_deleted, *order)
        page = self._links.page(query, after, size)
        links, next_key = fitting(page, to_link, key_by(order[0]))
        return link_service_pb2.ListLinksResponse(links=links, next_page_token=self._tokens.token(request, next_key))

    def UpdateLink(self, request: link_service_pb2.UpdateLinkRequest, context: Any) -> link_pb2.Link:
        with checks.AllAtOnce() as each:
            each(checks.positive, **{"link.id": request.link.id})
            patch = each(wire.patch, request.link, request.update_mask, Link, WRITABLE, "link")
            user = each(user_of, context)
        return to_link(self._links.update(request.link.id, request.link.etag, patch, user))

    def MoveLinks(self, request: link_service_pb2.MoveLinksRequest, context: Any) -> link_service_pb2.MoveLinksResponse:
        with checks.AllAtOnce() as each:
            each(checks.ids, "ids", request.ids, 1000)
            each(checks.not_negative, folder_id=request.folder_id)
            user = each(user_of, context)
        moved = self._links.move(list(request.ids), request.folder_id, user)
        return link_service_pb2.MoveLinksResponse(moved_count=moved)

    def ResetLink(self, request: link_service_pb2.ResetLinkRequest, context: Any) -> link_pb2.Link:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            asked = each(request_of, request)
        return to_link(self._links.reset(request.id, request.etag, asked))

    def DeleteLink(self, request: link_service_pb2.DeleteLinkRequest, context: Any) -> link_pb2.Link:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            user = each(user_of, context)
        return to_link(self._links.delete(request.id, request.etag, user))

    def UndeleteLink(self, request: link_service_pb2.UndeleteLinkRequest, context: Any) -> link_pb2.Link:
        with checks.AllAtOnce() as each:
            each(checks.positive, id=request.id)
            user = each(user_of, context)
        return to_link(self._links.undelete(request.id, request.etag, user))


def to_link(link: CountedLink) -> link_pb2.Link:
    """The link as it goes over the wire."""
    return wire.to_message(link, link_pb2.Link)
