"""The DOM that a browser builds of a mail, as a list of nodes, and how it may and may not differ after the addresses were rewritten."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from tests.corpus.other_parser import LINKING

_LABELLED = """
const labelled = (parent) => {
  const children = [...parent.childNodes];
  const name = (node) => node.nodeType === Node.DOCUMENT_TYPE_NODE ? '#doctype' : node.localName ?? node.nodeName;
  const many = (node) => children.filter((each) => name(each) === name(node)).length > 1;
  const counts = new Map();
  return children.map((node) => {
    counts.set(name(node), (counts.get(name(node)) ?? 0) + 1);
    return [node, many(node) ? `${name(node)}[${counts.get(name(node))}]` : name(node)];
  });
};
"""

READ = f"""() => {{
{_LABELLED}
const nodes = [];
const walk = (node, path) => {{
  const text = {{[Node.DOCUMENT_NODE]: document.compatMode, [Node.DOCUMENT_TYPE_NODE]: `${{node.publicId}} ${{node.systemId}}`}};
  const attributes = [...(node.attributes ?? [])].map((each) => [each.name, each.value]);
  nodes.push([path, `${{node.nodeName}} ${{node.namespaceURI ?? ''}}`, attributes, text[node.nodeType] ?? node.nodeValue ?? '']);
  for (const [child, label] of labelled(node)) walk(child, path ? `${{path}}>${{label}}` : label);
  if (node instanceof HTMLTemplateElement) walk(node.content, `${{path}}>#content`);
}};
walk(document, '');
return nodes;
}}"""
"""JavaScript that lists all nodes of a document in order, as `Node` wants them."""

PATH_AT = f"""([x, y]) => {{
{_LABELLED}
window.scrollTo(0, y);
let node = document.elementFromPoint(x - scrollX, y - scrollY) ?? document.documentElement, path = [];
for (; node.parentNode; node = node.parentNode) path.unshift(labelled(node.parentNode).find(([each]) => each === node)[1]);
return path.join('>');
}}"""
"""JavaScript that says the path of the element at a point of the page."""

MEANT = """(written) => written.map((address) => {
  const template = document.createElement('template');
  template.innerHTML = `<a href="${address.replaceAll('"', '&quot;')}">`;
  return template.content.firstChild.getAttribute('href');
})"""
"""JavaScript that reads addresses as they are written in HTML: what each of them means."""


class Node(NamedTuple):
    """An element, text, comment, doctype or template's content, or the document."""

    path: str
    """Where it is: names from the root on, with a number from 1 where siblings have one name, as in html>body>p[2]>#text."""
    name: str
    attributes: list[list[str]]
    text: str

    def leads_by(self) -> str | None:
        """The name of the attribute that makes it a link; None when it is none."""
        names = [name for name, _ in self.attributes] if self.name.split(" ")[0].lower() in LINKING else []
        return next((name for name in ("href", "xlink:href") if name in names), None)

    def is_conditional(self) -> bool:
        """Whether it is one of Outlook's conditional comments."""
        return self.name.startswith("#comment") and _CONDITION.match(self.text) is not None


@dataclass(slots=True)
class Comparison:
    """Compares a mail's DOM with that of the rewritten mail. It allows the href of a link that was rewritten, and in a conditional comment
    the rewritten addresses."""

    written: Mapping[str, str]
    """The addresses as the mail writes them, by the URLs that were put in their places."""
    meant: Mapping[str, str]
    """The addresses as a browser reads them."""
    left_alone: Collection[str]
    seen: set[str] = field(default_factory=set)
    """The URLs that stand where they should."""

    def differences(self, before: list[Node], after: list[Node]) -> Iterator[tuple[str, str]]:
        """Paths of nodes that differ and how. Ends where the trees are built differently."""
        for one, other in zip_longest(before, after):
            if one is None or other is None or one[:2] != other[:2]:
                built, should = (each and f"{each.path} ({each.text[:40]!r})" for each in (other, one))
                yield (one or other).path, f"the rewrite makes the browser build {built} where {should} was"
                return
            yield from self._in_attributes(one, other)
            if one.text != other.text and not (one.is_conditional() and self._undone(other.text, self.written) == one.text):
                yield one.path, f"{_around(other.text, one.text)!r} stands where {_around(one.text, other.text)!r} was"

    def _in_attributes(self, one: Node, other: Node) -> Iterator[tuple[str, str]]:
        if [name for name, _ in one.attributes] != [name for name, _ in other.attributes]:
            yield one.path, f"its attributes were {one.attributes} and are {other.attributes}"
            return
        for (name, was), (_, now) in zip(one.attributes, other.attributes, strict=True):
            leads = name == one.leads_by()
            if was != now and not (leads and self._undone(now, self.meant) == was):
                yield one.path, f"its {name} was {was!r} and is {now!r}"
            if was == now and leads and was.strip(_SPACE) not in self.left_alone:
                yield one.path, f"the href {was!r} was not found"

    def _undone(self, rewritten: str, addresses: Mapping[str, str]) -> str:
        def address(found: re.Match[str]) -> str:
            if found[0] not in addresses:
                return found[0]
            self.seen.add(found[0])
            return addresses[found[0]]

        return _URL.sub(address, rewritten)


_CONDITION = re.compile(r"\s*\[\s*if\b", re.IGNORECASE)
_SPACE = "\t\n\f\r "
_URL = re.compile(r"http://127\.0\.0\.1:8080/[\w-]+", re.ASCII)


def _around(text: str, other: str) -> str:
    place = next(
        (index for index, (one, another) in enumerate(zip(text, other, strict=False)) if one != another), min(len(text), len(other))
    )
    return text[max(0, place - 10) : place + 40]
