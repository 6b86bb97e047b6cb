"""python -m tests.corpus FOLDER: 0 all is well, 1 a mail fails or there is none, 2 no such folder, 3 there is no Chromium."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.corpus.check import report
from tests.corpus.chromium import InChromium
from tests.support.browser import NoBrowserError, chromium


def main(arguments: Sequence[str]) -> int:
    """Checks every .html and .txt below the folder, in Chromium too; the exit status."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(f"usage: python -m tests.corpus FOLDER; no folder: {' '.join(arguments)}", file=sys.stderr)
        return 2
    try:
        with chromium() as browser:
            return report(Path(arguments[0]), looks=[InChromium(browser)])
    except NoBrowserError as missing:
        print(missing, file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
