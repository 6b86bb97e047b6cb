"""What may be under way at once in the whole server: how many calls of each kind, how much of it one peer may have, and for how long."""

from dataclasses import dataclass

from server.model.errors import Reason

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


@dataclass(frozen=True, eq=False, slots=True)
class Room:
    """Bytes that answers of some kinds may take together, from when they are asked for until they are taken or their call has ended."""

    most: int
    share: int
    """Of one peer."""


# Each has its own, so that nobody can use up that of others: 256 MiB in all. The memory behind is two to three times that (measured).
LISTS = Room(64 * MEBIBYTE, 16 * MEBIBYTE)
MAILS = Room(64 * MEBIBYTE, 32 * MEBIBYTE)
SINGLE = Room(32 * MEBIBYTE, 8 * MEBIBYTE)
PLACEMENTS = Room(32 * MEBIBYTE, 16 * MEBIBYTE)
PAGES = Room(32 * MEBIBYTE, 16 * MEBIBYTE)
STORED = Room(32 * MEBIBYTE, 16 * MEBIBYTE)


@dataclass(frozen=True, eq=False, slots=True)
class Bound:
    """What holds for one kind of call."""

    kind: str
    """As the log and the metadata of an error name it."""

    most: int
    share: int
    """Of one peer."""

    room: Room
    size: int = 0
    """Bytes that are kept for an answer until it is known how many it has."""

    waits: bool = False
    """Waits for room: a call before its request is read, a stream with a request in hand. What does not is refused at once."""

    rounds: int = 2
    """How often it waits PATIENCE for room before it is refused: streams are held back for longer."""

    gives_way: float | None = None
    """Seconds without a message after which a stream is ended for another one, if there are too many. None: never."""

    proves: bool = False
    """Who has sent clicks that were stored gives way after those who have not."""

    idle: float = 0.0
    """Seconds without a request after which a stream ends; 0: it may be quiet for ever."""

    reason: Reason = Reason.server_busy


CLICK = Bound("click", 2000, 1000, STORED, reason=Reason.click_queue_full)
CLICKS = Bound("clicks", 100, 50, STORED, gives_way=1.0, proves=True, reason=Reason.click_queue_full)
WATCH = Bound("placements", 100, 50, PLACEMENTS, 8 * MEBIBYTE, waits=True, rounds=10, gives_way=1.0, reason=Reason.click_queue_full)
RECIPIENT = Bound("recipient", 500, 250, PAGES, 64 * KIBIBYTE)
HEALTH = Bound("health", 1000, 500, SINGLE)
HEALTH_WATCH = Bound("health_watch", 200, 50, SINGLE, gives_way=0.0)
REFLECTION = Bound("reflection", 50, 20, SINGLE, gives_way=5.0, idle=300.0)
RENDER = Bound("render", 32, 16, MAILS, 4 * MEBIBYTE, waits=True, rounds=10, gives_way=30.0, idle=300.0)
MINT = Bound("mint", 32, 16, MAILS, 4 * MEBIBYTE, waits=True, rounds=10, gives_way=30.0, idle=300.0)
LIST = Bound("list", 256, 128, LISTS, 4 * MEBIBYTE, waits=True)
ORDINARY = Bound("call", 1000, 500, SINGLE, 16 * KIBIBYTE)


def bound_of(method: str) -> Bound:
    """What holds for calls of a method, by its full name. What takes or answers many of something is a list."""
    service, _, name = method.removeprefix("/").rpartition("/")
    match service.rpartition(".")[2], name:
        case "ClickService", "RecordClick":
            return CLICK
        case "ClickService", "RecordClicks":
            return CLICKS
        case "ClickService", "WatchPlacements":
            return WATCH
        case "MailingService", "RenderMessages":
            return RENDER
        case "MailingService", "MintUrls":
            return MINT
        case "RecipientService", _:
            return RECIPIENT
        case "Health", "Watch":
            return HEALTH_WATCH
        case "Health", _:
            return HEALTH
        case "ServerReflection", _:
            return REFLECTION
        case _, _ if name.startswith(("List", "Batch", "TrackMessage")):
            return LIST
        case _:
            return ORDINARY
