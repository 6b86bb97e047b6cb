"""What an operator can set for the front door: environment variables TRACKEDLINKS_*, read here and nowhere else in it."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"must be an address and a port such as 127.0.0.1:8080, not {listen!r}")
    return listen


MEBIBYTES_EACH = 32
"""Room in the journal for each process: a segment of its own, and one for what its predecessor has left."""

Address = Annotated[str, AfterValidator(_address)]


class Settings(BaseSettings):
    """The front door's settings; each has a default with which it runs beside the server on one machine."""

    model_config = SettingsConfigDict(env_prefix="TRACKEDLINKS_")

    front_listen: Address = "127.0.0.1:8080"
    """Where HTTP is served. Behind a proxy that speaks TLS to the world."""

    server: Address = "127.0.0.1:50051"
    """The gRPC server that clicks are given to."""

    directory: Path = Path("var")
    """Where the key file is, unless key_file says otherwise; and in front/ the journal and the snapshot of this machine's front doors."""

    key_file: Path | None = None
    """The keys that tokens are verified with: the server's file."""

    front_workers: int = Field(default=1, ge=1, le=64)
    """Processes that serve; one for each core that the server leaves free."""

    commit_seconds: float = Field(default=0.25, gt=0, le=60)
    """How long a recipient waits for the server to store the click before it goes to the journal."""

    journal_mebibytes: int = Field(default=4096, ge=MEBIBYTES_EACH)
    """How large the journals of this machine may become together, with room for each process: 4,096 MiB hold some 25 million clicks."""

    trust_request_id: bool = False
    """Whether requests with the same x-request-id and x-request-start are the same click: only behind a proxy that sets both itself."""

    front_notice_seconds: float = Field(default=0, ge=0, le=300)
    """How long SIGTERM only makes /readyz say 503, while a load balancer that asks it stops sending recipients here."""

    first_start_seconds: float = Field(default=20, ge=0)
    """How long a first start waits for the server to make the key file before it gives up."""

    @model_validator(mode="after")
    def _fill(self) -> Self:
        if self.key_file is None:
            self.key_file = self.directory / "keys.json"
        return self

    @field_validator("journal_mebibytes")
    @classmethod
    def _has_room_for_each(cls, mebibytes: int, info: ValidationInfo) -> int:
        workers = info.data.get("front_workers", 1)
        if mebibytes < (least := MEBIBYTES_EACH * workers):
            raise ValueError(f"must be at least {least} for {workers} front workers, not {mebibytes}")
        return mebibytes
