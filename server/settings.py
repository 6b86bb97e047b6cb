"""What an operator can set: environment variables TRACKEDLINKS_*, read here and nowhere else in the server."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.crm.remote import parse_crm
from server.model.mailing import public_url_of
from server.model.webhooks import problem_of_pair
from server.outbox.schedule import SECONDS


def _loopback(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        raise ValueError(f"must be an address and a port such as 127.0.0.1:50051, not {listen!r}") from None
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"must end in a port, not {listen!r}")
    if not loopback:
        raise ValueError(
            f"must be a loopback address, not {host!r}: listening elsewhere needs TLS and credentials, which come with a later version"
        )
    return listen


def _database(url: str) -> str:
    backend = url.partition(":")[0].partition("+")[0]  # the rest may hold a password
    if backend not in ("", "sqlite", "postgresql"):
        raise ValueError(f"must begin with sqlite:/// or postgresql://, not {backend[:40]!r}")
    return url


def _crm(setting: str) -> str:
    parse_crm(setting)
    return setting


def _numbers(setting: object) -> object:
    """The numbers of a list with commas. Raises ValueError, naming what is none, or negative."""
    if not isinstance(setting, str):
        return setting
    numbers = tuple(float(part) for part in setting.split(","))
    if any(not 0 <= number <= 30 * 86_400 for number in numbers):
        raise ValueError("must be seconds from 0 to 30 days")
    return numbers


def _pairs(setting: object) -> object:
    """The pairs of a list with commas. Raises ValueError for one that is not spelled as in a URL."""
    if not isinstance(setting, str):
        return setting
    pairs = tuple(part.strip() for part in setting.split(",") if part.strip())
    for pair in pairs:
        if problem := problem_of_pair(pair):
            raise ValueError(problem)
    return pairs


class Settings(BaseSettings):
    """The server's settings; each has a default with which it runs on one machine with no other service."""

    model_config = SettingsConfigDict(env_prefix="TRACKEDLINKS_")

    listen: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1:50051"
    """Where gRPC is served, address:port on the loopback interface; port 0 takes a free one and says which in the log."""

    directory: Path = Path("var")
    """Where the embedded database and the key file are."""

    database_url: Annotated[str, AfterValidator(_database)] = ""
    """An SQLAlchemy URL, `sqlite:///path` or `postgresql://user@host/name`; empty: an SQLite file in the directory."""

    key_file: Path | None = None
    """The keys that tokens are signed with; unset: keys.json in the directory. The front door reads the same file."""

    mark_file: Path | None = None
    """Where this server keeps outside the database how far that has come with its ids; unset: ids.json beside the key file."""

    public_url: Annotated[str, AfterValidator(public_url_of)] = Field(default="http://127.0.0.1:8080", min_length=1, max_length=255)
    """What tracked URLs start with where a mailing says nothing else."""

    crm: Annotated[str, AfterValidator(_crm)] = "embedded"
    """The CRM: `embedded`, or `grpc://host:port` of another one that serves CrmService."""

    outside_wait: float = Field(default=0.15, ge=0, le=5)
    """Seconds that a recipient waits for a remote CRM at most; nobody waits for a webhook."""

    subscription_link_days: float = Field(default=21, gt=0, le=90)
    """For how many days after it was minted a link to manage subscriptions is valid; when it was minted is kept for 90."""

    script_workers: int = Field(default=2, ge=1, le=64)
    """Scripts that may run at the same time."""

    retry_seconds: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_numbers)] = SECONDS
    """The pauses after failed attempts to reach another system, in seconds, separated by commas; after the last one a run is dead."""

    webhook_allow: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_pairs)] = ()
    """`host:port` pairs, separated by commas, to which webhooks may go although they are private: for development."""

    most_waiting_clicks: int = Field(default=20_000, ge=1)
    """How many clicks may wait for the writer before further ones are answered RESOURCE_EXHAUSTED."""

    notice_seconds: float = Field(default=0, ge=0, le=60)
    """How long a stopping server says NOT_SERVING before it takes no more calls; longer than a load balancer's interval."""

    drain_seconds: float = Field(default=10, ge=0)
    """How long a stopping server lets calls under way finish."""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if not self.database_url:
            self.database_url = f"sqlite:///{self.directory.resolve() / 'trackedlinks.db'}"
        if self.key_file is None:
            self.key_file = self.directory / "keys.json"
        if self.mark_file is None:
            self.mark_file = self.key_file.parent / "ids.json"
        return self
