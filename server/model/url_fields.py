"""Merge fields in a URL: where they may stand, and the URL with a recipient's values in it."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from server.model.urls import MAX_URL, problem_of

MOST_FILLED = 8000
"""Characters of a URL that is filled in: browsers and what stands between take no longer Location header. Source: RFC 9110, 4.1."""

FIELD = re.compile(r"(?<![\\{])\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]{0,63})[ \t]*\}\}")
"""A merge field `{{ name }}`, in messages as in URLs; a backslash or brace before it keeps it literal."""


def url_fields(url: str) -> tuple[str, ...]:
    """The distinct names of the merge fields in the URL, in order."""
    return tuple(dict.fromkeys(FIELD.findall(url))) if "{{" in url else ()  # the search looks behind each place: 0.3 ms (measured)


def fields_choose_server(url: str) -> bool:
    """Whether a merge field stands in scheme, user info, host or port, or anywhere in a URL without these: it could lead anywhere."""
    return _choosing_server(url) is not None


def problem_of_url(url: str) -> str | None:
    """As `urls.problem_of`, but merge fields may stand in path, query and fragment.

    None may choose the server: whoever can set a value could make the link lead anywhere.
    """
    if len(url) > MAX_URL:
        return problem_of(url)
    if field := _choosing_server(url):
        return f"may have merge fields in path, query and fragment only, unlike {field}"
    return problem_of(FIELD.sub("x", url))


def filled_length(url: str, values: Mapping[str, str]) -> int:
    """How many characters the URL has once it is filled in, at most."""
    names = FIELD.findall(url)
    lengths = {name: len(_quoted(values.get(name, ""))) for name in set(names)}
    return len(url) + sum(lengths[name] for name in names)


def fill_url(url: str, values: Mapping[str, str]) -> str:
    """The URL with each merge field's value, percent-encoded; one without value becomes empty. For URLs without problem.

    All else stays byte for byte, but a path segment that values make a dot segment becomes empty: browsers would leave it out, or go up.
    """
    start = _path_start(url)
    end = _PATH_END.search(url, start)
    path, rest = (url[start : end.start()], url[end.start() :]) if end else (url[start:], "")
    segments = [_filled_segment(segment, values) for segment in path.split("/")]
    return url[:start] + "/".join(segments) + _filled(rest, values)


_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_PATH_END = re.compile(r"[?#]")
_DOT_SEGMENT = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)


def _choosing_server(url: str) -> str | None:
    first = FIELD.search(url)
    return first[0] if first and first.start() < _path_start(url) else None


def _path_start(url: str) -> int:
    """Where the authority has ended. Without scheme or separator that is nowhere: all of the URL may choose the server."""
    authority = _AUTHORITY.match(url)
    return authority.end() if authority else len(url)


def _filled_segment(segment: str, values: Mapping[str, str]) -> str:
    filled = _filled(segment, values)
    return "" if filled != segment and _DOT_SEGMENT.fullmatch(filled) else filled


def _filled(text: str, values: Mapping[str, str]) -> str:
    return FIELD.sub(lambda field: _quoted(values.get(field[1], "")), text)


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")
