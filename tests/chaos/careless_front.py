"""A front door that does not wait for the disk of its journal: the control, which must lose clicks when power is cut."""

import os

from redirect.__main__ import main

if __name__ == "__main__":
    setattr(os, "fdatasync", lambda _: None)  # noqa: B010
    main()
