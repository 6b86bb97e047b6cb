"""Which language a reader gets, and whether every text of the pages is there in each."""

import re

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from redirect.languages import LANGUAGES, LOCALES, choose, translation
from redirect.pages import TEMPLATES

TRANSLATED = LANGUAGES[1:]
PLACEHOLDER = re.compile(r"%\(\w+\)s")


@pytest.mark.parametrize(
    ("accept_language", "mailing_language", "expected"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "nb-NO", "nb"),
        ("", "NN", "nb"),
        ("", "fr", "en"),
        ("", "sv_SE", "sv"),
        ("", "-", "en"),
        ("en", "nb", "en"),
        ("nb", "", "nb"),
        ("no", "", "nb"),
        ("nn", "", "nb"),
        ("no-NO", "", "nb"),
        ("nn-NO,nn;q=0.9,no;q=0.8,nb;q=0.7,en-US;q=0.6,en;q=0.5", "", "nb"),
        ("de-AT", "", "de"),
        ("de-CH-1996", "", "de"),
        ("DE-at", "", "de"),
        ("nl-BE, fr-BE;q=0.9", "", "nl"),
        ("fr-BE, nl-BE;q=0.9", "", "nl"),
        ("fr, ja;q=0.9", "da", "da"),
        ("fr, ja;q=0.9", "", "en"),
        ("da;q=0.5, sv;q=0.9", "", "sv"),
        ("da;q=0.9, sv;q=0.9", "", "da"),
        ("da;q=0.001, fr", "sv", "da"),
        ("da;q=0.2, sv;q=0.3, da-DK;q=0.9", "", "da"),
        ("da;q=0.9, sv;q=0.5, da-DK;q=0.1", "", "da"),
        ("da; q=0.5 ,\tsv ;q=1.000", "", "sv"),
        ("da;Q=0.5,sv;Q=0.6", "", "sv"),
        ("*", "nl", "nl"),
        ("*", "", "en"),
        ("*;q=0, nl", "", "nl"),
        ("*;q=0", "nl", "nl"),
        ("nl;q=0", "nl", "en"),
        ("nl;q=0.0, *", "nl", "en"),
        ("de;q=0, de-AT", "", "en"),
        ("de-AT;q=0, de", "", "de"),
        ("no;q=0, nb-NO", "", "en"),
        ("nn;q=0, nb", "", "nb"),
        ("en;q=0", "", "en"),
        ("en;q=0", "sv", "sv"),
        ("nds, gsw, des", "", "en"),
        ("de;q=NaN", "", "en"),
        ("de;q=nan, sv;q=0.1", "", "sv"),
        ("de;q=inf, sv;q=1e0, da;q=-1, nl;q=2", "", "en"),
        ("de;q=1.001, sv;q=0.0001, da;q=", "", "en"),
        ("de;q=0.5;q=1", "", "en"),
        ("de;level=1", "", "en"),
        ("de-, -de, de--AT, de-abcdefghi", "", "en"),
        (",,;,;q=1,=, ,", "de", "de"),
        ("dé, ⅾe, de\x00, ｄｅ, \udcff", "", "en"),
        ("de;q=٠.٥", "", "en"),
        ("x" * 10_000, "sv", "sv"),
        ("fr," * 4_000 + "de", "sv", "sv"),
        ("nl;q=0.1," + "," * 500 + "de;q=0.99", "", "nl"),
        ("nl;q=0.1," + "," * 600 + "de;q=0.99,fr", "", "nl"),
        ("x" * 503 + ",da;q=0.99", "da", "da"),
        ("de" + " " * 10_000 + ";q=1", "sv", "sv"),
    ],
)
def test_a_reader_gets_the_language_they_like_best(accept_language: str, mailing_language: str, expected: str) -> None:
    assert choose(accept_language, mailing_language) == expected


@given(
    st.text(max_size=2000) | st.lists(st.sampled_from(["de", "nb", "*", ";q=", "0", ".", "1", ",", "-", " "])).map("".join),
    st.text(max_size=50),
)
def test_whatever_a_header_says_a_language_of_ours_is_chosen(accept_language: str, mailing_language: str) -> None:
    assert choose(accept_language, mailing_language) in LANGUAGES


def catalog(language: str) -> Catalog:
    with (LOCALES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def texts() -> set[str]:
    methods = [("templates/**.html", "jinja2"), ("**.py", "python")]
    return {str(message) for _, _, message, _, _ in extract_from_dir(TEMPLATES.parent, method_map=methods)}


def test_there_is_a_catalogue_for_each_language_but_the_source() -> None:
    assert sorted(path.name for path in LOCALES.iterdir()) == sorted(f"{language}.po" for language in TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    kept = catalog(language)
    ids = {message.id for message in kept if message.id}
    assert texts() - ids == set(), f"add these to redirect/locales/{language}.po"
    assert ids - texts() == set(), f"remove these from redirect/locales/{language}.po"
    assert kept.header_comment.strip()
    assert [message.id for message in kept if message.id and (message.fuzzy or not message.string)] == []
    assert kept.obsolete == {}
    assert kept.locale_identifier == language


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_placeholders_of_its_text_and_differs_from_it(language: str) -> None:
    for message in catalog(language):
        if message.id:
            translated = translation(language).gettext(str(message.id))
            assert translated == message.string
            assert sorted(PLACEHOLDER.findall(translated)) == sorted(PLACEHOLDER.findall(str(message.id)))
            assert "%" not in PLACEHOLDER.sub("", translated)
            assert translated != message.id
            assert translated[-1] == str(message.id)[-1] or not {translated[-1], str(message.id)[-1]} & set(".?")


def test_no_template_says_anything_that_is_not_to_be_translated() -> None:
    for template in TEMPLATES.glob("*.html"):
        said = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", "", template.read_text(encoding="utf-8"))
        assert re.findall(r"[^\W\d_]+", re.sub(r"<[^>]*>", "", said)) == [], template.name


def test_a_language_that_is_not_ours_speaks_english() -> None:
    assert translation("fr").gettext("Save") == translation("en").gettext("Save") == "Save"
    assert [translation(language).gettext("Save") for language in TRANSLATED] == ["Lagre", "Spara", "Gem", "Speichern", "Opslaan"]
