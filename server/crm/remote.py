"""Which CRM the service works with: the embedded one, or another at an address."""

import re

EMBEDDED = "embedded"

_REMOTE = re.compile(r"grpc://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+]):([1-9][0-9]{0,4}))")
_LAST_PORT = 65_535


def parse_crm(setting: str) -> str | None:
    """The address, host:port, of the CRM that the setting names; None for the embedded one. Raises ValueError for anything else."""
    if setting == EMBEDDED:
        return None
    found = _REMOTE.fullmatch(setting)
    if found is None or int(found[2]) > _LAST_PORT:
        raise ValueError(f"must be {EMBEDDED} or grpc://host:port, such as grpc://127.0.0.1:50061, not {setting[:200]!r}")
    return found[1]
