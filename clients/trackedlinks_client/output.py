"""How the command prints: tables and fields for people, aligned plain text for pipes, JSON lines for programs."""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import Annotated, TypeVar

import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print proto JSON, one object a line.")]

M = TypeVar("M", bound=Message)

_SHORT = 24
"""Columns of no more characters stay on one line in a terminal; longer ones, such as URLs, make room for them."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Prints rows under their headings, or what `empty` says when there are none. Columns whose heading ends in `#` hold numbers."""
    cells = [[_one_line(cell) for cell in row] for row in rows]
    if not cells:
        print(empty)
        return
    numbers = [heading.endswith("#") for heading in columns]
    headings = [heading.removesuffix("#") for heading in columns]
    if sys.stdout.isatty():
        _pretty(headings, numbers, cells)
    else:
        _plain(headings, numbers, cells)


def listing(
    entries: Iterable[M], as_json: bool, columns: Sequence[str], row: Callable[[M], Sequence[object]], empty: str = "nothing found"
) -> None:
    """Prints entries as JSON lines while they come, or all of them as a table, `row` making a row of each."""
    if as_json:
        for entry in entries:
            json_line(entry)
    else:
        table(columns, map(row, entries), empty)


def fields(*pairs: tuple[str, object]) -> None:
    """Prints names and values, one a line; those without a value are left out."""
    shown = [(name, _one_line(value)) for name, value in pairs if value not in ("", None)]
    width = max((len(name) for name, _ in shown), default=0) + 1
    for name, value in shown:
        print(f"{name + ':':<{width}} {value}")


def json_line(message: Message) -> None:
    """Prints a message as proto JSON on one line, fields with default values included."""
    print(MessageToJson(message, indent=None, ensure_ascii=False, always_print_fields_with_no_presence=True))


def say(sentence: str) -> None:
    """Prints a sentence."""
    print(_one_line(sentence))


def complain(problem: str) -> None:
    """Prints to standard error, one line for each line of the problem."""
    for line in problem.splitlines() or [""]:
        print(_one_line(line), file=sys.stderr)


def when(time: Timestamp | None) -> str:
    """A time, UTC, to the second; empty when it is unset."""
    if time is None or not (time.seconds or time.nanos):
        return ""
    return time.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def percent(share: float) -> str:
    """A share of one as a percentage with one decimal."""
    return f"{share * 100:.1f} %"


def _one_line(value: object) -> str:
    # What others have stored must not steer the terminal.
    return _CONTROL.sub("\ufffd", str(value).replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def _pretty(headings: Sequence[str], numbers: Sequence[bool], cells: Sequence[Sequence[str]]) -> None:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading, number, *column in zip(headings, numbers, *cells, strict=True):
        short = max(map(len, column)) <= _SHORT
        made.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=short)
    for row in cells:
        made.add_row(*map(Text, row))
    Console(width=shutil.get_terminal_size().columns).print(made)


def _plain(headings: Sequence[str], numbers: Sequence[bool], cells: Sequence[Sequence[str]]) -> None:
    """Every row one line, however long: what follows in a pipe reads lines."""
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for row in [headings, *cells]:
        aligned = (cell.rjust(width) if number else cell.ljust(width) for cell, width, number in zip(row, widths, numbers, strict=True))
        print("  ".join(aligned).rstrip())
