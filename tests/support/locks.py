"""What keeps a server's writer waiting, for as long as a test wants."""

import contextlib
import threading
from collections.abc import Iterator

from sqlalchemy import Connection, text

from server.store.database import Database


@contextlib.contextmanager
def held(url: str) -> Iterator[None]:
    """Holds what the writer needs: on SQLite the whole database, on PostgreSQL the links."""
    database, has_it, enough = Database(url), threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        connection.execute(text("UPDATE link SET generation = generation"))
        has_it.set()
        enough.wait()

    thread = threading.Thread(target=database.write, args=(work,))
    thread.start()
    has_it.wait()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        database.close()
