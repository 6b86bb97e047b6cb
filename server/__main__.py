"""`python -m server` serves; `migrate` brings the database up to date; `restored` makes one that was put back from a copy fit to serve."""

import argparse
import os

from pydantic import ValidationError

from server.main import make_directory, open_database, restored, run
from server.settings import Settings


def main() -> None:
    """What the command line asks for. Ends with a sentence and exit status 1 when it cannot be done."""
    os.umask(0o077)  # what is stored names persons
    parser = argparse.ArgumentParser(
        prog="python -m server", description="The tracked-links server; settings are TRACKEDLINKS_* variables."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["serve", "migrate", "restored"],
        default="serve",
        help="serve (the default); migrate: bring the database up to date; restored: after the database was put back from a copy,"
        " while no server runs: move its ids ahead of those that were lost",
    )
    parser.add_argument(
        "--new-database", action="store_true", help="begin with an empty database although there are keys; URLs mailed before lead nowhere"
    )
    arguments = parser.parse_args()
    command = arguments.command
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = (f"TRACKEDLINKS_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors())
        raise SystemExit("\n".join(wrong)) from None
    if command == "serve":
        run(settings, new_database=arguments.new_database)
        return
    if command == "restored":
        restored(settings)
        return
    make_directory(settings)
    open_database(settings, apply=True).close()


if __name__ == "__main__":
    main()
