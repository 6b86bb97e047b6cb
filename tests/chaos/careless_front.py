"""A front door whose workers do not wait for the disk of their journal: the control, which must lose clicks when power is cut."""

import asyncio
import os
import runpy
import sys
from typing import Any

from redirect.__main__ import main

_start = asyncio.create_subprocess_exec


async def _start_careless(python: str, _option: str, _module: str, *arguments: str, **named: Any) -> asyncio.subprocess.Process:
    return await _start(python, "-m", "tests.chaos.careless_front", *arguments, **named)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        setattr(os, "fdatasync", lambda _: None)  # noqa: B010
        runpy.run_module("redirect.worker", run_name="__main__")
    else:
        setattr(asyncio, "create_subprocess_exec", _start_careless)  # noqa: B010
        main()
