"""The proof that no two URLs are alike and none is valid by chance: it passes, and notices verifiers that take too much."""

import base64

import pytest

from redirect import token
from redirect.token import Claims, Verifier
from tests.many_urls import EVERY, claims, keys_of, main, tally

SEED, COUNT = 7, 2 * EVERY


def test_twenty_thousand_urls_are_each_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20000", "--seed", str(SEED)]) == 0
    line = capsys.readouterr().out
    assert line.startswith("20,000 URLs, no two alike; refused: ")
    assert line.endswith(f"seed {SEED}\n")


@pytest.mark.parametrize("count", [1, 2, 20_000])
def test_claims_are_distinct(count: int) -> None:
    assert len({claims(SEED, count, index)[:2] for index in range(count)}) == count


def test_a_verifier_that_does_not_check_the_tag_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    verify = Verifier(keys_of(SEED)).verify
    assert not tally(SEED, COUNT, range(COUNT), verify).wrong
    monkeypatch.setattr(token, "compare_digest", lambda one, other: True)
    assert "is accepted as Claims" in tally(SEED, COUNT, range(1, EVERY), verify).wrong


def test_a_verifier_that_takes_other_spellings_is_caught() -> None:
    strict = Verifier(keys_of(SEED)).verify

    def lenient(token: bytes) -> Claims | None:
        try:
            content = base64.urlsafe_b64decode(token[:-1] + b"==")
        except ValueError:
            return None
        return strict(base64.urlsafe_b64encode(content).rstrip(b"=") + token[-1:])

    assert "is accepted as Claims" in tally(SEED, COUNT, range(COUNT), lenient).wrong


def test_a_verifier_that_reads_no_further_than_it_must_is_caught() -> None:
    strict = Verifier(keys_of(SEED)).verify
    assert "is accepted as Claims" in tally(SEED, COUNT, range(COUNT), lambda token: strict(token) or strict(token[:-1])).wrong


def test_a_verifier_that_mistakes_claims_is_caught() -> None:
    strict = Verifier(keys_of(SEED)).verify

    def forgetful(token: bytes) -> Claims | None:
        found = strict(token)
        return found and found._replace(do_not_track=False)

    assert "was minted for Claims" in tally(SEED, COUNT, range(COUNT), forgetful).wrong
