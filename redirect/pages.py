"""The pages that a recipient sees: complete HTML without scripts or anything from elsewhere, readable on a phone."""

import base64
import hashlib
import html

STYLE = (
    "body{margin:0;font:1.0625rem/1.6 system-ui,sans-serif;color:#1c2024;background:#f4f5f7}"
    "main{max-width:38rem;margin:0 auto;padding:2.5rem 1.25rem;background:#fff;min-height:100vh;box-sizing:border-box}"
    "h1{font-size:1.4rem;line-height:1.3;margin:0 0 1rem}a{color:#0b57d0}"
    "table{border-collapse:collapse}td,th{padding:.25rem .75rem .25rem 0;text-align:left}"
    "@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#101214}main{background:#181b1e}a{color:#8ab4f8}}"
)

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"private, no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".encode(),
    ),
]


def text_page(fragment: str, language: str, title: str) -> bytes:
    """The page of a custom text. `fragment` is HTML that the server has sanitised; the title is plain text."""
    return _page(fragment, language, title)


def not_found() -> bytes:
    """The same neutral page for every address that leads nowhere, so that it tells nothing about why."""
    return _page(
        "<h1>Page not found</h1><p>There is nothing at this address. Please check the link in your e-mail.</p>", "en", "Page not found"
    )


def unavailable() -> bytes:
    """The page for a click that could not be stored in time."""
    body = "<h1>Please try again in a moment</h1><p>The page cannot be opened right now. Please open the link once more shortly.</p>"
    return _page(body, "en", "Please try again")


def _page(body: str, language: str, title: str) -> bytes:
    return (
        f'<!doctype html><html lang="{html.escape(language or "en")}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    ).encode()
