"""Keeps tests apart from the checkout they run in: from what `make run` left in its var/, and from what its operator has set."""

import os
import sys

from tests.support.house import ROOT

_KEPT = str(ROOT / "var")
_PICTURES = os.path.join(_KEPT, "pages")
"""What `make pages` is there to write."""

_EVENTS = {"open", "sqlite3.connect", "glob.glob", "pathlib.Path.glob"} | {
    f"os.{name}" for name in ("listdir", "scandir", "mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate", "chmod", "chdir")
}


def forget_settings() -> None:
    """Takes the settings of servers, front doors, commands and PostgreSQL's clients out of this process' environment."""
    for name in list(os.environ):
        if name.startswith(("TRACKEDLINKS_", "PG")):
            del os.environ[name]


class Guard:
    """Remembers which files below the checkout's var/ this process touches."""

    def __init__(self) -> None:
        """Watches from now on until the process ends: Python cannot take such a watcher away."""
        self._touched: list[str] = []
        sys.addaudithook(self._look)

    def touched(self) -> list[str]:
        """What was touched since this was asked last."""
        found, self._touched = self._touched, []
        return found

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in _EVENTS:
            return
        for argument in arguments[:2]:
            if isinstance(argument, bytes | str | os.PathLike) and "var" in (path := os.fsdecode(argument)):
                path = os.path.abspath(path.removeprefix("file:"))
                if (path + os.sep).startswith(_KEPT + os.sep) and not (path + os.sep).startswith(_PICTURES + os.sep):
                    self._touched.append(path)
