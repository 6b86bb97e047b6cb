"""Recipients from a CSV file, row by row: what a mailing of any size is sent to."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from trackedlinks.v1 import mailing_pb2
from trackedlinks_client.problems import Problem

_YES = {"1", "true", "yes", "x", "ja"}
_NO = {"", "0", "false", "no", "nei"}
_MOST_PERSON_ID = 2**62 - 1


@dataclass(frozen=True)
class Row:
    """A recipient and where it stands."""

    line: int
    recipient: mailing_pb2.Recipient
    email: str
    """Where the mail goes; empty when the row does not say."""


@dataclass(frozen=True)
class BadRow:
    """A row that is no recipient."""

    line: int
    problem: str


class People:
    """A CSV file with a header, open for one reading; a context manager.

    Columns: `person_id` and `email` (at least one of them; a row with both is the person's, and the mail goes to the address), `name`,
    `test`, `do_not_track`. Every column is a merge field as well. UTF-8; separated by comma, semicolon or tab.
    """

    def __init__(self, path: Path) -> None:
        """Raises Problem for a header that does not do; OSError."""
        self._path = path
        # Errors of the encoding are told row by row.
        self._binary = path.open("rb")
        self._file = io.TextIOWrapper(self._binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            header = self._file.readline()
            self.columns = next(csv.reader([header], delimiter=_delimiter(header)), [])
            self._refuse_header()
        except BaseException:
            self._file.close()
            raise
        self._delimiter = _delimiter(header)

    @property
    def size(self) -> int:
        """Bytes of the file; 0 when it is none on disk."""
        return self._path.stat().st_size

    @property
    def position(self) -> int:
        """Bytes read so far, about."""
        return self._binary.tell() if self._binary.seekable() else 0

    def rows(self) -> Iterator[Row | BadRow]:
        """The rows in order; blank lines are none. Line numbers count from 1, the header included."""
        reader = csv.reader(self._file, delimiter=self._delimiter, strict=True)
        while True:
            line = reader.line_num + 2
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield BadRow(line, f"is no CSV: {error}")
                continue
            if values is None:
                return
            if values:
                yield self._row(line, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def _refuse_header(self) -> None:
        if not {"person_id", "email"} & set(self.columns):
            named = ", ".join(self.columns)[:100]
            raise Problem(f"{self._path}: the first line must name the columns, person_id or email among them, not {named!r}")
        if twice := [name for name in dict.fromkeys(self.columns) if self.columns.count(name) > 1]:
            raise Problem(f"{self._path}: the first line names {', '.join(map(repr, twice))} more than once")

    def _row(self, line: int, values: Sequence[str]) -> Row | BadRow:
        if len(values) != len(self.columns):
            return BadRow(line, f"has {len(values)} columns, the first line {len(self.columns)}")
        cells = dict(zip(self.columns, values, strict=True))
        try:
            "".join(values).encode()
        except UnicodeEncodeError:
            return BadRow(line, "is not UTF-8")
        person_id, email = cells.get("person_id", "").strip(), cells.get("email", "").strip()
        flags = {name: _flag(cells.get(name, "")) for name in ("test", "do_not_track")}
        problems = [f"{name} must be yes or no, not {cells[name][:40]!r}" for name, flag in flags.items() if flag is None]
        if person_id and not (person_id.isascii() and person_id.isdigit() and 1 <= int(person_id[:20]) <= _MOST_PERSON_ID):
            problems.append(f"person_id must be a number from 1 to 2^62 - 1, not {person_id[:40]!r}")
        if not person_id and not email:
            problems.append("has neither person_id nor email")
        if problems:
            return BadRow(line, "; ".join(problems))
        recipient = mailing_pb2.Recipient(
            name=cells.get("name", ""),
            test=bool(flags["test"]),
            do_not_track=bool(flags["do_not_track"]),
            merge_fields=cells,
        )
        if person_id:
            recipient.person_id = int(person_id)
        else:
            recipient.email = email
        return Row(line, recipient, email)


def _flag(value: str) -> bool | None:
    folded = value.strip().casefold()
    return True if folded in _YES else False if folded in _NO else None


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)
