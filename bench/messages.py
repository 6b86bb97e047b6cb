"""Rendering a message from its template against parsing it with selectolax for each recipient, setting the links, and serialising."""

import time

from selectolax.lexbor import LexborHTMLParser

from server.messages.find import find_links
from server.messages.part import Part
from server.messages.render import Renderer
from server.messages.template import Slot, segments_of

RENDERED, PARSED = 2_000, 500


def render_and_parse() -> tuple[float, float]:
    """Messages per second from a template, and with selectolax. 50 KB, 40 links."""
    row = (
        b'<tr><td style="padding:0 0 12px 0"><a href="https://example.com/article/%d?a=1&amp;b=2">Read more</a> '
        + b"x" * 1_100
        + b"</td></tr>\n"
    )
    content = b"<html><body><table>" + b"".join(row % number for number in range(40)) + b"</table></body></html>"
    urls = {index: f"http://127.0.0.1:8080/AQIA70On6rOBvReH6QA{index:02}" for index in range(1, 41)}

    renderer = _renderer(content)
    start = time.perf_counter()
    for _ in range(RENDERED):
        renderer.render(urls, {})
    rendering = time.perf_counter() - start

    text = content.decode()
    start = time.perf_counter()
    for _ in range(PARSED):
        tree = LexborHTMLParser(text)
        for index, anchor in enumerate(tree.css("a[href]"), 1):
            anchor.attrs["href"] = urls[index]
        assert tree.html is not None
        tree.html.encode()
    parsing = time.perf_counter() - start
    return RENDERED / rendering, PARSED / parsing


def _renderer(content: bytes) -> Renderer:
    slots = [Slot(found.start, found.end, index) for index, found in enumerate(find_links(Part.html, content), 1)]
    return Renderer(Part.html, segments_of(Part.html, content, slots), "utf-8")
