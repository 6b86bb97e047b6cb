"""Which languages recipients' pages speak, which of them a reader gets, and the translations: locales/*.po, read once at the start.

English is the source. A new text needs a translation in every .po file: tests/redirect/test_languages.py says which one is missing.
"""

import gettext
import io
import re
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "nb", "sv", "da", "de", "nl")
SOURCE = LANGUAGES[0]
LOCALES = Path(__file__).parent / "locales"

_MOST_READ = 512
"""Characters of an Accept-Language header that are read: browsers send at most a tenth of that."""

_RANGE = re.compile(
    r"(?P<language>[a-z]{1,8})(?P<region>(?:[-_][a-z0-9]{1,8})*)(?:[ \t]*;[ \t]*q=(?P<quality>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?",
    re.ASCII | re.IGNORECASE,
)
"""One language range with its weight (RFC 9110, 12.4.2 and 12.5.4)."""


def choose(accept_language: str, mailing_language: str = "") -> str:
    """The language of LANGUAGES that the reader likes best (Accept-Language, RFC 9110); else the mailing's (a BCP 47 tag); else English.

    Whatever is malformed decides nothing, and neither does `*`. A language with q=0 is not chosen unless nothing else is left.
    """
    kept = accept_language[:_MOST_READ]
    if len(accept_language) > _MOST_READ:
        kept = kept.rpartition(",")[0]  # the last one is cut: a q of 0.8 must not become 0
    wanted: dict[str, float] = {}
    refused = set()
    for part in kept.split(","):
        found = _RANGE.fullmatch(part.strip(" \t"))
        ours = _ours(found["language"]) if found else ""
        if not (found and ours):
            continue
        quality = float(found["quality"] or 1)
        if quality:
            wanted[ours] = max(quality, wanted.get(ours, 0))
        elif not found["region"] and found["language"].lower() != "nn":  # de-AT;q=0 refuses Austrian German only, nn;q=0 Nynorsk only
            refused.add(ours)
    best = max((language for language in wanted if language not in refused), key=wanted.__getitem__, default="")  # the first of equals
    fallback = _ours(re.split("[-_]", mailing_language, maxsplit=1)[0])
    return best or (fallback if fallback not in refused else "") or SOURCE


def spoken(language: str) -> str:
    """The language itself when it is one of LANGUAGES, else English."""
    return language if language in LANGUAGES else SOURCE


def translation(language: str) -> gettext.NullTranslations:
    """The texts in a language of LANGUAGES; in English for any other."""
    return _TRANSLATIONS[spoken(language)]


def _ours(subtag: str) -> str:
    language = subtag.lower()
    if language in ("no", "nn"):
        return "nb"
    return language if language in LANGUAGES else ""


def _read(language: str) -> gettext.NullTranslations:
    with (LOCALES / f"{language}.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


_TRANSLATIONS = {SOURCE: gettext.NullTranslations(), **{language: _read(language) for language in LANGUAGES[1:]}}
