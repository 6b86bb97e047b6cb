"""Files and folders of a disk that loses power: what processes see of each, and what would be left of it."""

import random
from itertools import count

SECTOR = 512

_inodes = count(2)


class Node:
    """A file or a directory: what processes see of it, and what would be left of it."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.inode = next(_inodes)
        self.seen = bytearray()
        self.durable = bytearray()
        self.changes: list[tuple[int, bytes | None]] = []
        """Since the last sync: data at an offset, or None and a new size."""

    def change(self, offset: int, data: bytes | None) -> None:
        """Writes, or sets the size."""
        _apply(self.seen, offset, data)
        self.changes.append((offset, data))

    def sync(self) -> None:
        """Makes everything durable."""
        for change in self.changes:
            _apply(self.durable, *change)
        self.changes.clear()

    def lose_power(self, chance: random.Random | None) -> None:
        """Keeps what is durable, and by chance some of the rest; without chance nothing."""
        for offset, data in self.changes if chance else ():
            assert chance is not None
            match chance.randrange(3):
                case 0:
                    _apply(self.durable, offset, data)
                case 1 if data is not None:
                    for start in range(0, len(data), SECTOR):
                        if chance.random() < 0.5:
                            _apply(self.durable, offset + start, data[start : start + SECTOR])
        self.changes.clear()
        self.seen[:] = self.durable


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data
