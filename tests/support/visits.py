"""A recipient who opens a tracked URL in a browser of their own, over a socket: all of the answer."""

import asyncio
from dataclasses import dataclass

_HEAD = "host: 127.0.0.1\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) visit\r\n"


@dataclass(frozen=True, slots=True)
class Visited:
    """What the recipient got: `location` is empty where there is a page, and the other way round."""

    status: int
    location: str
    page: str


async def visit(port: int, token: str, method: str = "GET", prefetch: bool = False) -> Visited:
    """Opens one URL of a front door on this machine over a connection of its own. Raises OSError, EOFError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        ahead = "sec-purpose: prefetch\r\n" if prefetch else ""
        writer.write(f"{method} /{token} HTTP/1.1\r\n{_HEAD}{ahead}\r\n".encode())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        page = (await reader.readexactly(length)).decode()
    finally:
        writer.close()
    return Visited(int(status.split()[1]), headers.get("location", ""), page)
