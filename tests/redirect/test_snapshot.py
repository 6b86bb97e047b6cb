"""The snapshot's file, when whoever writes it is stopped."""

import subprocess
import sys
from pathlib import Path

CLOSING_WHILE_READING = """
import sys, threading
from pathlib import Path
from redirect.snapshot import SnapshotWriter

writer = SnapshotWriter(Path(sys.argv[1]))
for _ in range(100):
    reading = threading.Thread(target=lambda: [writer.position() for _ in range(20)])
    reading.start()
    for _ in range(10):
        writer.close()
    reading.join()
writer.close()
"""


def test_a_front_door_that_stops_while_the_snapshot_is_opened_does_not_crash(tmp_path: Path) -> None:
    program = (sys.executable, "-c", CLOSING_WHILE_READING, tmp_path / "snapshot.db")
    assert subprocess.run(program, timeout=60, check=False).returncode == 0
