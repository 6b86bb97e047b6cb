"""The log of either program, when nobody reads it."""

import subprocess
import sys

import pytest

TELLING = """
import importlib, sys, structlog
configure_logs = importlib.import_module(sys.argv[2]).configure_logs
configure_logs()
log = structlog.get_logger()
for number in range(int(sys.argv[1])):
    log.error("told", number=number)
print("told all", flush=True)
sys.stdin.read()
log.error("last")
"""
MANY = 5000
"""Lines that no pipe has room for."""


pytestmark = pytest.mark.parametrize("module", ["redirect.logs", "server.logs"])


def test_a_log_that_nobody_reads_holds_up_nobody_and_says_later_what_is_missing(module: str) -> None:
    command = [sys.executable, "-c", TELLING, str(MANY), module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"told all\n"
        told = left_out = 0
        while told + left_out < MANY:
            line = process.stderr.readline()
            if b"log_lines_left_out" in line:
                left_out += int(line.rpartition(b"=")[2])
            else:
                told += 1
        process.stdin.close()
        assert b"event='last'" in process.stderr.readline()
    assert left_out > 0


def test_the_last_lines_of_a_process_that_ends_are_written(module: str) -> None:
    told = subprocess.run([sys.executable, "-c", TELLING, "500", module], input=b"", capture_output=True, check=True, timeout=60)
    assert [b"number=499" in line or b"event='last'" in line for line in told.stderr.splitlines()[-2:]] == [True, True]
