"""What `make bench` believes about recipients who get the wrong thing: it sees every one."""

import asyncio

from bench.recipients import Visit, click
from tests.support.receivers import Receiver, says


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


def page(html: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(html)}\r\n\r\n{html}".encode()


async def test_each_answer_is_compared_with_what_its_recipient_must_get() -> None:
    answers = [
        says(redirect("https://example.com/1")),
        says(redirect("https://example.com/")),
        says(page("<p>Hello Kari!</p>")),
        says(page("<p>Hello !</p>")),
        says(redirect("https://example.com/5")),
        says(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        says(b"HTTP/1.1 302 Fou"),
    ]
    visits = [
        Visit("a", location="https://example.com/1"),
        Visit("b", location="https://example.com/2"),
        Visit("c", page="Hello Kari!"),
        Visit("d", page="Hello Kari!"),
        Visit("e", page="Hello Kari!"),
        Visit("f", location="https://example.com/6"),
        Visit("g", location="https://example.com/7"),
    ]
    async with Receiver(*answers) as receiver:
        told = await asyncio.to_thread(click, receiver.port, visits, 10)
    assert told.wrong == [
        "https://example.com/2 was wanted, https://example.com/ came",
        "Hello Kari! was wanted, a page without it came",
        "Hello Kari! was wanted, https://example.com/5 came",
    ]
    assert told.refused[0] == "status 503"
    assert [refused.partition(":")[0] for refused in told.refused[1:]] == ["IncompleteReadError"]
    assert len(told.milliseconds) == len(visits) - 1
