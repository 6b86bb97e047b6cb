"""A mail and its rewritten version side by side in Chromium: the DOM, and the picture."""

import base64
from collections.abc import Iterator, Sequence

from playwright.sync_api import Browser, Page, Route

from server.messages.part import Part
from tests.corpus.dom import MEANT, PATH_AT, READ, Comparison, Node
from tests.corpus.rewriting import Rewriting

WIDTHS = (800, 375)
"""Of a window and of a phone, in CSS pixels."""


class InChromium:
    """Opens mails without scripts and without network, and tells where the rewritten mail is another than the mail."""

    def __init__(self, browser: Browser) -> None:
        context = browser.new_context(java_script_enabled=False, service_workers="block")
        self._shown, self._blank = context.new_page(), context.new_page()
        self._shown.route("**/*", self._answer)
        self._content, self._charset = b"", ""

    def __call__(self, rewriting: Rewriting) -> Iterator[tuple[str, str]]:
        """DOM paths, or for an address that is nowhere in the DOM line:column, and what is wrong there."""
        if rewriting.mail.part is Part.text:
            return
        before, pictures = self._opened(rewriting, rewriting.mail.content)
        after, pictures_after = self._opened(rewriting, rewriting.rendered)
        yield from self._differences(rewriting, before, after)
        for width, picture, picture_after in zip(WIDTHS, pictures, pictures_after, strict=True):
            if picture != picture_after and (point := _first_difference(self._blank, picture, picture_after)):
                self._shown.set_viewport_size({"width": width, "height": 600})
                yield self._shown.evaluate(PATH_AT, point), f"the picture {width} pixels wide differs at {point[0]}, {point[1]}"

    def _differences(self, rewriting: Rewriting, before: list[Node], after: list[Node]) -> Iterator[tuple[str, str]]:
        mail = rewriting.mail
        texts = [mail.content[each.start : each.end].decode(mail.charset, "replace") for each in rewriting.addresses]
        texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
        meant: list[str] = self._blank.evaluate(MEANT, texts)
        found = list(zip(rewriting.addresses, texts, meant, strict=True))
        comparison = Comparison(
            {rewriting.urls[each.start]: text for each, text, _ in found if each.start in rewriting.urls},
            {rewriting.urls[each.start]: read for each, _, read in found if each.start in rewriting.urls},
            {read for each, _, read in found if each.left_alone is not None},
        )
        yield from comparison.differences(before, after)
        for address in rewriting.addresses:
            if address.start in rewriting.urls and rewriting.urls[address.start] not in comparison.seen:
                yield mail.place(address.start), f"found {address.url!r}, which is no link in the DOM"

    def _opened(self, rewriting: Rewriting, content: bytes) -> tuple[list[Node], list[bytes]]:
        self._content, self._charset = content, rewriting.mail.charset
        pictures: list[bytes] = []
        for width in WIDTHS:
            self._shown.set_viewport_size({"width": width, "height": 600})
            if not pictures:
                self._shown.goto("http://mail.invalid/")
            pictures.append(self._shown.screenshot(full_page=True, animations="disabled", caret="hide"))
        return [Node(*node) for node in self._shown.evaluate(READ)], pictures

    def _answer(self, route: Route) -> None:
        if route.request.url == "http://mail.invalid/" and route.request.is_navigation_request():
            route.fulfill(body=self._content, content_type=f"text/html; charset={self._charset}")
        elif route.request.is_navigation_request():
            route.fulfill(status=204)  # No Content: the mail stays where a <meta http-equiv=refresh> would leave it
        else:
            route.abort()


def _first_difference(page: Page, one: bytes, other: bytes) -> Sequence[int] | None:
    point: list[int] | None = page.evaluate(_COMPARE, [base64.b64encode(picture).decode("ascii") for picture in (one, other)])
    return point


_COMPARE = """async (pictures) => {
const decoded = await Promise.all(pictures.map(async (picture) => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + picture;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}));
const [one, other] = decoded, width = Math.min(one.width, other.width), height = Math.min(one.height, other.height);
const pixels = decoded.map((each) => new Uint32Array(each.data.buffer));
for (let y = 0; y < height; y++)
  for (let x = 0; x < width; x++)
    if (pixels[0][y * one.width + x] !== pixels[1][y * other.width + x]) return [x, y];
return one.width === other.width && one.height === other.height ? null : [width - 1, height - 1];
}"""
