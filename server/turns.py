"""Clicks come first: whoever computes for others gives way to them between two pieces of work.

Python runs one thread at a time, and whoever wants to be the next waits for all who came before. With eight clients that list, mint, track
and render, a click waited so at each of its statements: for a second in all (ADR 0019).
"""

import threading
import time

PIECE_SECONDS = 0.001
"""How long a thread computes before it looks whether clicks wait."""

LONGEST_SECONDS = 0.02
"""How long it gives way at most: clicks that never end slow others down, and do not stop them."""


class _Thread(threading.local):
    gives_way = False
    since = 0.0


_thread = _Thread()
_quiet = threading.Event()
_quiet.set()
_clicks = 0


def clicks_come() -> None:
    """A batch of clicks is on its way to the database. For the thread of the event loop."""
    global _clicks
    _clicks += 1
    if _clicks == 1:
        _quiet.clear()


def clicks_are_through() -> None:
    """A batch of clicks is stored, or is not. For the thread of the event loop."""
    global _clicks
    _clicks -= 1
    if _clicks == 0:
        _quiet.set()


def gives_way() -> None:
    """From now on the calling thread gives way to clicks."""
    _thread.gives_way = True


def give_way() -> None:
    """Waits for clicks under way, when this thread gives way and has computed for a while. To be called between two pieces of work."""
    if not _clicks or not _thread.gives_way:
        return
    if time.monotonic() - _thread.since > PIECE_SECONDS:
        _quiet.wait(LONGEST_SECONDS)
        _thread.since = time.monotonic()
