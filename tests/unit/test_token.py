"""Tokens: what is minted verifies, and nothing else does; and the key file."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redirect import token

KEYS = token.Keys({"A": bytes(range(32)), "b": bytes(range(32, 64))}, "A")
MINTER = token.Minter(KEYS)
VERIFIER = token.Verifier(KEYS)

ids = st.integers(1, 2**63 - 1) | st.integers(1, 300)
recipients = st.integers(0, 2**63 - 1) | st.integers(0, 300)


@given(ids, recipients, st.integers(0, 3))
def test_a_minted_token_says_what_was_minted(placement_id: int, recipient: int, flags: int) -> None:
    minted = MINTER.mint(MINTER.prefix(placement_id), recipient, flags)
    expected = token.Claims(placement_id, recipient, bool(flags & token.TEST), bool(flags & token.DO_NOT_TRACK))
    assert VERIFIER.verify(minted.encode()) == expected


@settings(max_examples=30)
@given(ids, recipients)
def test_no_bit_can_be_flipped(placement_id: int, recipient: int) -> None:
    minted = MINTER.mint(MINTER.prefix(placement_id), recipient).encode()
    for place in range(len(minted)):
        for bit in range(8):
            flipped = minted[:place] + bytes((minted[place] ^ 1 << bit,)) + minted[place + 1 :]
            assert VERIFIER.verify(flipped) is None


@given(st.binary(max_size=60))
def test_no_other_bytes_verify(content: bytes) -> None:
    assert VERIFIER.verify(content) is None


@given(st.binary(min_size=3, max_size=22))
def test_a_payload_that_is_not_in_its_one_form_does_not_verify_even_when_signed(payload: bytes) -> None:
    keyed = MINTER._keyed.copy()
    keyed.update(payload)
    signed = base64.urlsafe_b64encode(payload + keyed.digest()).rstrip(b"=") + b"A"
    claims = VERIFIER.verify(signed)
    if claims is not None:
        flags = (token.TEST if claims.test else 0) | (token.DO_NOT_TRACK if claims.do_not_track else 0)
        assert MINTER.mint(MINTER.prefix(claims.placement_id), claims.recipient, flags).encode() == signed


def test_the_four_spellings_of_the_last_character_are_not_alike() -> None:
    minted = MINTER.mint(MINTER.prefix(1), 2).encode()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [letter for letter in alphabet if VERIFIER.verify(minted[:-2] + bytes((letter,)) + minted[-1:])]
    assert accepted == [minted[-2]]


def test_ordinary_ids_make_at_most_28_characters() -> None:
    assert len(MINTER.mint(MINTER.prefix(2**28 - 1), 2**35 - 1, 3)) <= 28


def test_every_key_verifies_and_only_under_its_own_id() -> None:
    older = token.Minter(token.Keys(KEYS.secrets, "b"))
    minted = older.mint(older.prefix(5), 6).encode()
    assert minted.endswith(b"b")
    assert VERIFIER.verify(minted) == token.Claims(5, 6)
    assert VERIFIER.verify(minted[:-1] + b"A") is None
    assert token.Verifier(token.Keys({"A": KEYS.secrets["A"]}, "A")).verify(minted) is None


def test_keys_agree_while_they_are_rotated_and_never_with_others() -> None:
    old, more = token.Keys({"A": KEYS.secrets["A"]}, "A"), KEYS
    rotated = token.Keys(KEYS.secrets, "b")
    assert old.agrees_with(more.summary())
    assert more.agrees_with(old.summary())
    assert more.agrees_with(rotated.summary())
    assert not old.agrees_with(rotated.summary())
    assert not old.agrees_with(token.Keys({"A": bytes(32)}, "A").summary())
    assert not old.agrees_with("")


def test_a_key_file_is_made_once_and_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "keys.json"
    made = token.create(path)
    assert token.load(path) == made
    assert token.create(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["keys.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"minting": "A", "keys": {}}', '{"minting": "A", "keys": {"A": "00"}}', '{"minting": "A", "keys": {"A": 5}}',
     json.dumps({"minting": "AB", "keys": {"AB": "00" * 32}}), json.dumps({"minting": "-", "keys": {"-": "00" * 32}})],
)  # fmt: skip
def test_a_file_that_holds_no_keys_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"keys\.json is no key file"):
        token.load(path)


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (0o644, "that everybody can read: chmod 600"),
        (0o604, "that everybody can read: chmod 600"),
        (0o602, "that everybody can change: chmod 600"),
        (0o660, "that its group can change: chmod 600"),
    ],
)
def test_a_key_file_of_others_is_refused_with_what_to_do(tmp_path: Path, mode: int, problem: str) -> None:
    path = tmp_path / "keys.json"
    token.create(path)
    path.chmod(mode)
    with pytest.raises(ValueError, match=problem):
        token.load(path)


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o400, False), (0o440, True), (0o640, True)])
def test_a_key_file_that_a_group_reads_is_taken_and_told(tmp_path: Path, mode: int, is_told: bool) -> None:
    path = tmp_path / "keys.json"
    made = token.create(path)
    path.chmod(mode)
    found = token.load(path)
    assert (found, found.known_to_group) == (made, is_told)


def test_a_pipe_in_the_place_of_a_key_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "keys.json", 0o600)
    with pytest.raises(ValueError, match="is no file"):
        token.load(path)
