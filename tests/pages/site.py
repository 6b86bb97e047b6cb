"""A web site on 127.0.0.1 with every page that recipients see, as /language/name and with its real headers; it keeps what was asked."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from redirect import pages
from tests.support.recipient_pages import BUTTONS, NEWS, PAGES

TROUBLE = b'<!doctype html><html lang="en"><title>Trouble</title><p style="color:red"><img src="/x.png" alt="">'
"""A page that the policy of the others forbids, at /trouble: what looks for trouble must find it there."""

LOOKED_AT = ["en", "nb", "de"]
"""The languages in which all is tried; whether the texts fit is tried in every one."""

Form = dict[str, list[str]]


@dataclass
class Site:
    """Where the site is, and what came: paths in order, and forms with the path they were posted to."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    posted: list[tuple[str, Form]] = field(default_factory=list)

    def forget(self) -> None:
        self.asked.clear()
        self.posted.clear()


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    """The site, until the block ends."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(self.path)
            language, _, name = self.path[1:].partition("/")
            if self.path == "/trouble":
                self._answer(TROUBLE, form=True)
            elif name in PAGES:
                self._answer(PAGES[name](language), form=name in BUTTONS)
            else:
                self._answer(pages.not_found("en"), form=False)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            site.posted.append((self.path, parse_qs(body, strict_parsing=True)))
            self._answer(pages.unsubscribed(NEWS, "en", False), form=True)

        def _answer(self, content: bytes, form: bool) -> None:
            self.send_response(200)
            for name, value in pages.FORM_HEADERS if form else pages.HEADERS:
                self.send_header(name.decode(), value.decode())
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
