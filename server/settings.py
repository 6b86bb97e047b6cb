"""What an operator can set: environment variables TRACKEDLINKS_*, read here and nowhere else in the server."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.model.mailing import public_url_of


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


class Settings(BaseSettings):
    """The server's settings; each has a default with which it runs on one machine with no other service."""

    model_config = SettingsConfigDict(env_prefix="TRACKEDLINKS_")

    listen: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1:50051"
    """Where gRPC is served, address:port on the loopback interface; port 0 takes a free one and says which in the log."""

    directory: Path = Path("var")
    """Where the embedded database and the key file are."""

    database_url: str = ""
    """An SQLAlchemy URL, `sqlite:///path` or `postgresql://user@host/name`; empty: an SQLite file in the directory."""

    key_file: Path | None = None
    """The keys that tokens are signed with; unset: keys.json in the directory. The front door reads the same file."""

    public_url: Annotated[str, AfterValidator(public_url_of)] = Field(default="http://127.0.0.1:8080", min_length=1, max_length=255)
    """What tracked URLs start with where a mailing says nothing else."""

    most_waiting_clicks: int = Field(default=20_000, ge=1)
    """How many clicks may wait for the writer before further ones are answered RESOURCE_EXHAUSTED."""

    drain_seconds: float = Field(default=10, ge=0)
    """How long a stopping server lets calls under way finish."""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if not self.database_url:
            self.database_url = f"sqlite:///{self.directory.resolve() / 'trackedlinks.db'}"
        if self.key_file is None:
            self.key_file = self.directory / "keys.json"
        return self
