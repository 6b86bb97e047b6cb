"""Why a script cannot run, or failed, in words that a marketer understands."""

import re
import unicodedata

from pydantic_monty import MontyRuntimeError, MontySyntaxError

MOST_PROBLEM = 300
"""Characters of a problem."""

MOST_MEGABYTES = 64
"""Memory that a script may use; its process was never seen to have more than 100 MB."""

LINES_BEFORE = 1
"""Lines that the sandbox puts before a source."""

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""What no text that we show has in it: control characters, but for newlines."""

_LINE = re.compile(r" \(<string>, line (\d+)\)\Z")

_REFUSED = [
    (re.compile("[\x00\ud800-\udfff]"), "the source has a character that no text has"),
    # At its end, an `except … as` uncovers a name that the sandbox hides. Python compares names in NFKC.
    (re.compile(r"\bas[\s\\]+(?:exec|eval|locals)\b"), "exec, eval and locals cannot be used as names"),
]


def problem_in(source: str) -> str:
    """What is wrong with a source to the eye alone; empty when nothing is."""
    text = unicodedata.normalize("NFKC", source)
    for pattern, words in _REFUSED:
        if found := pattern.search(text):
            line = text.count("\n", 0, found.start()) + 1
            return f"Line {line}: {words}"
    return ""


def problem_of_failure(error: MontySyntaxError | MontyRuntimeError, source: str, milliseconds: int) -> str:
    """Why a script failed that had this many milliseconds, with the line of its source where the sandbox knows it."""
    reason = error.exception()
    text = str(reason)[: MOST_PROBLEM * 4]
    lines = [frame.line for frame in error.traceback() if frame.filename == "<string>"]
    if isinstance(reason, TimeoutError) and not lines:
        return problem_of_time(milliseconds)
    if isinstance(reason, SyntaxError | ImportError) and not lines and (said := _LINE.search(text)):
        lines = [int(said[1])]
        text = text[: said.start()]
    words = " ".join(CONTROL.sub(" ", _words(reason, text)).split())
    if not lines:
        return cut(words[:1].upper() + words[1:], MOST_PROBLEM)
    last = source.rstrip().count("\n") + 1
    line = min(lines[-1] - LINES_BEFORE, last)  # what is missing at the end is missed on the last line
    return cut(f"Line {line}: {words}", MOST_PROBLEM)


def problem_of_time(milliseconds: int) -> str:
    """That a script took longer than it may."""
    return f"The script ran for more than {milliseconds:,} ms"


def cut(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _words(reason: BaseException, text: str) -> str:
    match reason:
        case MemoryError():
            return f"the script needs more than {MOST_MEGABYTES} MB of memory"
        case NotImplementedError():
            return text.replace("The monty syntax parser does not yet support ", "scripts do not know ", 1)
        case ImportError():
            return "scripts cannot import"
        case PermissionError() | RuntimeError() if text.startswith(
            ("Permission denied", "suspension limit")
        ):  # the first time, and the last
            return "scripts cannot open files"
        case KeyError():
            return f"no such key: {text}"
        case _:
            return text.removeprefix("Internal error in monty: ") or type(reason).__name__
