"""The network between front door and server: a TCP proxy that can be cut, stall, or forget connections without a word."""

import asyncio
import contextlib


class Proxy:
    """Passes on what comes to its port, until it is told otherwise. `target` is to be set before the first connection."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._forgotten: list[asyncio.Event] = []
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for flowing in (self._flowing, *self._forgotten):
            flowing.set()
        while self._writers:
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Resets every connection, and every new one."""
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Passes nothing on and keeps connections open."""
        self._flowing.clear()

    def forget(self) -> None:
        """Never passes on anything of the connections there are, without a word; new ones work. What a firewall does that was restarted."""
        self._flowing.clear()
        self._forgotten.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    def mend(self) -> None:
        """Passes everything on again."""
        self._refusing = False
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        flowing = self._flowing
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        await asyncio.gather(_pass_on(reader, there_writer, flowing), _pass_on(there_reader, writer, flowing))
        self._writers -= {writer, there_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            await flowing.wait()
            writer.write(content)
            await writer.drain()
    writer.close()
