"""Rendering a message from its template against parsing it with selectolax for each recipient, setting the links, and serialising."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from selectolax.lexbor import LexborHTMLParser

from bench.figure import Figure, Plan, ratio
from server.messages.find import find_links
from server.messages.part import Part
from server.messages.render import Renderer
from server.messages.template import Segment, Slot, segments_of
from server.rpc.messages import tracked_message
from server.tracking import Template, TrackedMessage
from trackedlinks_client import messages as client

RENDERED, PARSED = 1_000, 250
LINKS = 40
URLS = {index: f"http://127.0.0.1:8080/AQIA70On6rOBvReH6QA{index:02}" for index in range(1, LINKS + 1)}
VALUES = {"recipient.name": "Åse O'Neill", "number": "1042", "recipient.email": "ase@fjordhagen.example"}
ROW = (
    '<tr><td style="padding:0 0 12px 0"><a href="https://example.com/article/{}?a=1&amp;b=2">Read more</a> '
    + "x" * 1_100
    + "{}</td></tr>\n"
)
FIELDS = ', {{recipient.name}} <i title="{{number}}">{{ number }}</i> or <a href="mailto:{{recipient.email}}">write</a>'


def run(plan: Plan) -> Iterator[Figure]:
    """Messages per second from the server's template and from the client library's, with and without merge fields.

    With selectolax the fields are not even filled in.
    """
    each: dict[str, tuple[Callable[[Sequence[Segment]], _Render], str]] = {
        "render_vs_parse": (_server, ""),
        "render_at_client_vs_parse": (_client, ""),
        "render_fields_vs_parse": (_server, FIELDS),
        "render_fields_at_client_vs_parse": (_client, FIELDS),
    }
    for name, (made_ready, behind) in each.items():
        if plan.wants(name):
            pairs = [_per_second(made_ready, _message(behind)) for _ in range(plan.rounds)]
            what = "the message parsed and serialised for each recipient with selectolax"
            floor, aim = (50.0, 88.0) if name == "render_vs_parse" else (5.0, 10.0)
            yield ratio(name, [one for one, _ in pairs], [one for _, one in pairs], what, floor=floor, aim=aim)


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
    start = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - start
