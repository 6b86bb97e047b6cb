"""Rendering a message from its template against parsing it with selectolax for each recipient, setting the links, and serialising."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from selectolax.lexbor import LexborHTMLParser

from server.messages.find import find_links
from server.messages.part import Part
from server.messages.render import Renderer
from server.messages.template import Segment, Slot, segments_of
from server.rpc.messages import tracked_message
from server.tracking import Template, TrackedMessage
from trackedlinks_client import messages as client

RENDERED, PARSED = 2_000, 500
LINKS = 40
URLS = {index: f"http://127.0.0.1:8080/AQIA70On6rOBvReH6QA{index:02}" for index in range(1, LINKS + 1)}
VALUES = {"recipient.name": "Åse O'Neill", "number": "1042", "recipient.email": "ase@fjordhagen.example"}
ROW = (
    '<tr><td style="padding:0 0 12px 0"><a href="https://example.com/article/{}?a=1&amp;b=2">Read more</a> '
    + "x" * 1_100
    + "{}</td></tr>\n"
)
FIELDS = ', {{recipient.name}} <i title="{{number}}">{{ number }}</i> or <a href="mailto:{{recipient.email}}">write</a>'


def render_and_parse() -> tuple[float, float]:
    """Messages per second from the server's template, and with selectolax. 50 KB, 40 links."""
    return _per_second(_server, _message(""))


def render_at_client_and_parse() -> tuple[float, float]:
    """The same with the client library's renderer."""
    return _per_second(_client, _message(""))


def render_fields_and_parse() -> tuple[float, float]:
    """The same with 160 merge fields, three names in text, an attribute and a URL; with selectolax they are not even filled in."""
    return _per_second(_server, _message(FIELDS))


def render_fields_at_client_and_parse() -> tuple[float, float]:
    """The same with 160 merge fields and the client library's renderer."""
    return _per_second(_client, _message(FIELDS))


_Render = Callable[[Mapping[int, str], Mapping[str, str]], object]


def _message(behind: str) -> bytes:
    rows = (ROW.format(number, behind) for number in range(LINKS))
    return f"<html><body><table>{''.join(rows)}</table></body></html>".encode()


def _server(segments: Sequence[Segment]) -> _Render:
    return Renderer(Part.html, segments, "utf-8").render


def _client(segments: Sequence[Segment]) -> _Render:
    return client.Renderer(tracked_message(TrackedMessage(Template("utf-8", segments, ()), [], [])).template).render


def _per_second(made_ready: Callable[[Sequence[Segment]], _Render], content: bytes) -> tuple[float, float]:
    tracked = [found for found in find_links(Part.html, content) if found.left_alone is None]
    assert len(tracked) == LINKS
    slots = [Slot(found.start, found.end, index) for index, found in enumerate(tracked, 1)]
    render = made_ready(segments_of(Part.html, content, slots))
    text = content.decode()
    return RENDERED / _seconds(RENDERED, partial(render, URLS, VALUES)), PARSED / _seconds(PARSED, partial(_parsed, text))


def _parsed(text: str) -> bytes:
    tree = LexborHTMLParser(text)
    for index, anchor in enumerate(tree.css('a[href^="https:"]'), 1):
        anchor.attrs["href"] = URLS[index]
    assert tree.html is not None
    return tree.html.encode()


def _seconds(count: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start
