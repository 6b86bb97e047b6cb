"""The pages that recipients see, from templates/*.html: complete HTML without scripts or anything from elsewhere, readable on a phone."""

import base64
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_time
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from redirect.languages import LANGUAGES, spoken, translation

TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "page.css").read_text(encoding="utf-8")


def _headers(policy: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"cache-control", b"private, no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-robots-tag", b"noindex, nofollow"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", policy.encode()),
    ]


def _own_headers(form_action: str) -> list[tuple[bytes, bytes]]:
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
    return [(b"content-type", b"text/html; charset=utf-8"), *_headers(policy)]


HEADERS = _own_headers("'none'")
"""The headers of a page without a form."""

FORM_HEADERS = _own_headers("'self'")
"""The headers of a page that may have a form: unsubscribe, unsubscribed, subscribed, manage and expired."""

ONLINE_HEADERS = _headers(
    "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' http: https:; font-src http: https: data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)
"""The headers of a newsletter as a page, but for its content-type: its pictures and styles come from where its author put them."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whether a recipient gets the mailings of a type; the name is what recipients read, in whatever language it has."""

    mailing_type_id: int
    name: str
    subscribed: bool


def text_page(fragment: str, language: str, title: str) -> bytes:
    """The page of a custom text: `fragment` is HTML that the server has sanitised, in `language` (BCP 47; empty = English)."""
    return _TEMPLATES["text"].render(fragment=Markup(fragment), language=language or "en", title=title).encode("utf-8", "replace")


def not_found(language: str) -> bytes:
    """The same neutral page for every address that leads nowhere, so that it tells nothing about why."""
    return _fixed("not_found", spoken(language))


def unavailable(language: str) -> bytes:
    """The page when the server did not answer in time."""
    return _fixed("unavailable", spoken(language))


def bad_request(language: str) -> bytes:
    """The page for a form that was not understood."""
    return _fixed("bad_request", spoken(language))


def message_gone(language: str) -> bytes:
    """The page of a view-online link whose message is no longer kept."""
    return _fixed("message_gone", spoken(language))


def plain_message(text: str, language: str) -> bytes:
    """A message that has only text, as a page. `language` is that of the page; nobody knows the message's."""
    return _page("plain_message", language, text=text)


def unsubscribe(subscription: Subscription, language: str, trial: bool) -> bytes:
    """Asks whether the subscription is to end; the form posts unsubscribe=yes."""
    return _page("unsubscribe", language, trial, name=_isolated(subscription.name))


def unsubscribed(subscription: Subscription, language: str, trial: bool) -> bytes:
    """Says that the subscription has ended; a form posts subscribe=yes."""
    return _page("unsubscribed", language, trial, name=_isolated(subscription.name))


def subscribed(subscription: Subscription, language: str, trial: bool) -> bytes:
    """Says that the subscription goes on."""
    return _page("subscribed", language, trial, name=_isolated(subscription.name))


def manage(subscriptions: Sequence[Subscription], language: str, trial: bool, valid_until: datetime, saved: bool) -> bytes:
    """All subscriptions. The form posts save=yes or leave_all=yes, `shown` for every mailing type, and `wanted` for each that is ticked."""
    date, time = _moment(valid_until, language)
    return _page("manage", language, trial, subscriptions=subscriptions, saved=saved, date=date, time=time)


def expired(language: str) -> bytes:
    """Says that a link to manage subscriptions is no longer valid; the form posts renew=yes."""
    return _page("expired", language)


def renewed(url: str, language: str, valid_until: datetime) -> bytes:
    """The new link to manage subscriptions. `url` must come from the server: it is followed as it is."""
    date, time = _moment(valid_until, language)
    return _page("renewed", language, url=url, date=date, time=time)


@functools.cache
def _fixed(template: str, language: str) -> bytes:
    return _page(template, language)


def _page(template: str, language: str, trial: bool = False, **values: object) -> bytes:
    language = spoken(language)
    page = _TEMPLATES[template].render(_=_TEXTS[language], language=language, trial=trial, **values)
    return page.encode("utf-8", "replace")


def _isolated(name: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(name)


def _moment(moment: datetime, language: str) -> tuple[str, str]:
    locale = _DATES[spoken(language)]
    utc = moment.astimezone(UTC)
    return format_date(utc, "long", locale), format_time(utc, "short", locale=locale)


def _texts(language: str) -> Callable[..., Markup]:
    gettext = translation(language).gettext

    def text(message: str, **values: object) -> Markup:
        return Markup(gettext(message)) % values  # Markup escapes the values

    return text


_TEXTS = {language: _texts(language) for language in LANGUAGES}
_DATES = {language: Locale.parse("en_GB" if language == "en" else language) for language in LANGUAGES}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
)
_ENVIRONMENT.globals["style"] = Markup(STYLE)
_TEMPLATES = {name.removesuffix(".html"): _ENVIRONMENT.get_template(name) for name in _ENVIRONMENT.list_templates(["html"])}
