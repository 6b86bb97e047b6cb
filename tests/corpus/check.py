"""Checks mails one by one and tells what is wrong where."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.messages.find import find_links
from server.messages.part import Part
from tests.corpus import bytewise, other_parser
from tests.corpus.mail import Mail, mails_in
from tests.corpus.rewriting import BrokenTemplateError, Find, Rewrite, Rewriting, rewriting, rewritten

Look = Callable[[Rewriting], Iterable[tuple[str, str]]]
"""One more way to look at a rewritten mail: what is wrong, as pairs of a place and a phrase."""


@dataclass(slots=True)
class Findings:
    """What a check came to: how many addresses were tracked and left alone, and what is wrong, as pairs of a place and a phrase."""

    tracked: int = 0
    left_alone: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def check(mail: Mail, find: Find = find_links, rewrite: Rewrite = rewritten, looks: Sequence[Look] = ()) -> Findings:
    """What is wrong with the way a mail is found and rewritten. Tests hand in broken ways to see them noticed."""
    try:
        result = rewriting(mail, find, rewrite)
    except BrokenTemplateError as broken:
        return Findings(failures=[(mail.place(broken.offset), str(broken))])
    failures = [(mail.place(offset), what) for offset, what in sorted(_without_browser(result))]
    failures += [failure for look in looks for failure in look(result)]
    return Findings(len(result.urls), len(result.addresses) - len(result.urls), failures)


def report(folder: Path, find: Find = find_links, looks: Sequence[Look] = ()) -> int:
    """Prints what is wrong with the mails below the folder, and the totals: 0 when all is well, 1 when a mail fails or there is none."""
    count = tracked = left_alone = failures = 0
    for mail in mails_in(folder):
        findings = check(mail, find, looks=looks)
        count += 1
        tracked += findings.tracked
        left_alone += findings.left_alone
        failures += len(findings.failures)
        for place, what in findings.failures:
            print(f"{mail.name}:{place}: {what}", flush=True)
        if not findings.tracked:
            print(f"{mail.name}: nothing to track, so no rewrite could be checked")
    print(f"{count} mails, {tracked} links tracked, {left_alone} links left alone")
    return 1 if failures or not count else 0


def _without_browser(result: Rewriting) -> Iterator[tuple[int, str]]:
    yield from bytewise.changes(result)
    match result.mail.part:
        case Part.html:
            yield from other_parser.differences(result)
        case Part.text:
            yield from bytewise.misread_in_text(result)
