"""Mints URLs by the million and shows that each is its own and none can be forged by chance: python -m tests.many_urls --count N.

That no two are alike is shown without keeping them: the claims are distinct by construction, and verify(), a function of the token, gives
back exactly the claims that a token was minted for. Two claims with one token would get one answer, which is wrong for one of them.
"""

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isqrt

from redirect.token import DO_NOT_TRACK, TEST, Claims, Keys, Minter, Verifier
from server.model.ids import MAX_PERSON_ID, NOBODY, person_recipient

Verify = Callable[[bytes], Claims | None]
PROCESSES = 2
EVERY = 1_000
"""Of so many tokens one is broken in every way there is, the others by one bit."""


@dataclass(slots=True)
class Tally:
    """What was done, and the first token that was answered wrongly, in words."""

    minted: int = 0
    flipped: int = 0
    cut_or_longer: int = 0
    wrong: str = ""


def main(arguments: Sequence[str]) -> int:
    """Prints one line: counts, seconds and seed, or what was accepted. 0 when all is well, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.many_urls", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count must be positive, not {options.count}")
    started = time.monotonic()
    share = -(-options.count // PROCESSES)
    parts = [(options.seed, options.count, range(first, min(first + share, options.count))) for first in range(0, options.count, share)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as processes:
        tallies = list(processes.map(_part, parts))
    minted, flipped, changed = (sum(getattr(tally, name) for tally in tallies) for name in ("minted", "flipped", "cut_or_longer"))
    what = next((tally.wrong for tally in tallies if tally.wrong), "") or (
        f"{minted:,} URLs, no two alike; refused: {flipped:,} with a flipped bit, {changed:,} cut or longer"
    )
    print(f"{what}; {time.monotonic() - started:.0f} s, seed {options.seed}")
    return 1 if any(tally.wrong for tally in tallies) else 0


def keys_of(seed: int) -> Keys:
    """The key that a run with this seed mints with."""
    return Keys({"A": random.Random(seed).randbytes(32)}, "A")


def claims(seed: int, count: int, index: int) -> tuple[int, int, int]:
    """Placement, recipient and flags of the index-th of count URLs; placement and recipient together are never those of another index.

    There are as many recipients as placements: nobody, persons and addresses in turn, and every eighth at the upper end of their numbers.
    """
    each = isqrt(count) + 1
    which, who = divmod(index, each)
    placement_id = (2**62 if which % 16 == 15 else seed % 100_000) + which + 1
    ordinary = 2 * (seed % 1_000_000 + 1) + 37 * who if who else NOBODY
    recipient = person_recipient(MAX_PERSON_ID) - who // 8 if who % 8 == 7 else ordinary
    return placement_id, recipient, (0, 0, 0, 0, TEST, DO_NOT_TRACK, TEST | DO_NOT_TRACK, 0)[(which + who) % 8]


def tally(seed: int, count: int, indexes: range, verify: Verify) -> Tally:
    """Mints the URLs of these indexes and lets verify answer for each of them and for broken ones, up to the first wrong answer."""
    minter, chances, done, placement_id, prefix = Minter(keys_of(seed)), random.Random(seed + indexes.start), Tally(), 0, b""
    for index in indexes:
        placement, recipient, flags = claims(seed, count, index)
        if placement != placement_id:
            placement_id, prefix = placement, minter.prefix(placement)
        token = minter.mint(prefix, recipient, flags).encode("ascii")
        expected = (placement_id, recipient, bool(flags & TEST), bool(flags & DO_NOT_TRACK))
        done.minted += 1
        if (answer := verify(token)) != expected:
            done.wrong = f"{token!r} was minted for {Claims(*expected)} and verifies as {answer}"
            return done
        bits = range(len(token) * 8) if index % EVERY == 0 else (int(chances.random() * len(token) * 8),)
        done.flipped += len(bits)
        broken: Iterator[bytes] = (_flipped(token, bit) for bit in bits)
        if (accepted := next((each for each in broken if verify(each) is not None), None)) is None and index % EVERY == 0:
            others = list(_cut_or_longer(token))
            done.cut_or_longer += len(others)
            accepted = next((each for each in others if verify(each) is not None), None)
        if accepted is not None:
            done.wrong = f"{accepted!r} is accepted as {verify(accepted)}, where {token!r} was minted for {Claims(*expected)}"
            return done
    return done


def _part(part: tuple[int, int, range]) -> Tally:
    seed, count, indexes = part
    return tally(seed, count, indexes, Verifier(keys_of(seed)).verify)


def _flipped(token: bytes, bit: int) -> bytes:
    place = bit >> 3
    return b"%b%c%b" % (token[:place], token[place] ^ 1 << (bit & 7), token[place + 1 :])


def _cut_or_longer(token: bytes) -> Iterator[bytes]:
    for length in range(len(token)):
        yield token[:length]
        yield token[len(token) - length :]
    for character in range(256):
        yield token + bytes((character,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
