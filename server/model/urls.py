"""Destination URLs: which are refused, what a Location header says, and the parameters of Google Analytics."""

import re
from urllib.parse import quote, urlencode

import can_ada

MAX_URL = 4000
MEDIUM = "email"
_START = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://)?")
_AUTHORITY_END = re.compile(r"[/?#]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NOT_SENDABLE = re.compile(r"[^\x00-\x7f]+| ")


def problem_of(url: str) -> str | None:
    """Why recipients cannot be sent to this URL, as a phrase for a developer, or None. Browsers' rules: the WHATWG URL standard."""
    if not 1 <= len(url) <= MAX_URL:
        return f"must be at most {MAX_URL} characters, not {len(url)}" if url else "must not be empty"
    # Browsers drop tabs, line ends and blanks around a URL without a word, so that what is checked would not be what is visited.
    if found := _CONTROL.search(url):
        return f"must not contain the control character U+{ord(found[0]):04X}"
    if found := _SURROGATE.search(url):
        return f"must not contain the lone surrogate U+{ord(found[0]):04X}"
    if url != url.strip():
        return f"must not start or end with white space, not {_shortened(url)}"
    start = _START.match(url)
    if start is None:
        scheme = _SCHEME.match(url)
        return f"must start with http:// or https://, not {_shortened(scheme[0] if scheme else url)}"
    if "\\" in url:
        return f"must not contain a backslash, which browsers read as /, not {_shortened(url)}"
    host = _authority(url, start.end())
    if not host:
        return f"must name a host after {start[0]}, not {_shortened(url[start.end() :])}"
    if "@" in host:
        return f"must not contain a user name or password before the host {_shortened(host.rpartition('@')[2])}"
    try:
        can_ada.parse(url)
    except ValueError:
        return f"must have a host and port that browsers accept, not {_shortened(host)}"
    return None


def location_of(url: str) -> bytes:
    """What goes out in a Location header for a URL without problem: the URL byte for byte, but all of it printable ASCII without blanks.

    Nothing is parsed and put together again, since that rewrites case, ports, quotes and escapes that the destination may depend on.
    """
    if url.isascii():
        return url.replace(" ", "%20").encode("ascii")
    start = url.index("://") + 3
    host = _authority(url, start)
    rest = _NOT_SENDABLE.sub(lambda found: quote(found[0]), url[start + len(host) :])
    if not host.isascii():
        _, colon, port = host.partition(":")
        host = can_ada.parse(url).hostname + colon + port
    return f"{url[:start]}{host}{rest}".encode("ascii")


def with_analytics(url: str, source: str, campaign: str) -> str:
    """The URL with utm_medium, utm_source and utm_campaign where it lacks them, before the fragment; all else byte for byte.

    An empty source or campaign adds nothing. A parameter that is there is kept, whatever its value.
    """
    address, hash_sign, fragment = url.partition("#")
    base, _, query = address.partition("?")
    present = {argument.partition("=")[0] for argument in query.split("&")}
    wanted = {"utm_medium": MEDIUM, "utm_source": source, "utm_campaign": campaign}
    added = urlencode({name: value for name, value in wanted.items() if value and name not in present}, quote_via=quote)
    if not added:
        return url
    joint = "&" if query and not query.endswith("&") else ""
    return f"{base}?{query}{joint}{added}{hash_sign}{fragment}"


def _authority(url: str, start: int) -> str:
    end = _AUTHORITY_END.search(url, start)
    return url[start : end.start() if end else len(url)]


def _shortened(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:39]}…")
