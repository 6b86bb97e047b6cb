"""`python -m server` serves; `python -m server migrate` brings the database up to date."""

import argparse
import os

from pydantic import ValidationError

from server.main import run
from server.model.errors import DomainError
from server.settings import Settings
from server.store.database import Database
from server.store.migrate import WrongVersion, migrate


def main() -> None:
    """What the command line asks for. Ends with a sentence and exit status 1 when it cannot be done."""
    os.umask(0o077)  # what is stored names persons
    parser = argparse.ArgumentParser(
        prog="python -m server", description="The tracked-links server; settings are TRACKEDLINKS_* variables."
    )
    parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
    command = parser.parse_args().command
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = (f"TRACKEDLINKS_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}" for found in error.errors())
        raise SystemExit("\n".join(wrong)) from None
    if command == "serve":
        run(settings)
        return
    settings.directory.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    try:
        migrate(database)
    except (WrongVersion, DomainError) as error:
        raise SystemExit(str(error)) from error
    finally:
        database.close()


if __name__ == "__main__":
    main()
