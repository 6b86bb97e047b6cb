"""The sandbox of scripts: what comes out, what scripts cannot do, and what is left when they have tried."""

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.clicks.sandbox import MOST_LOG, Sandbox, ScriptResult
from server.clicks.script_code import MOST_RETURN_URL
from server.clicks.script_problem import MOST_PROBLEM
from server.model.errors import DomainError, Reason

ROOT = Path(__file__).parents[2]

GOOD = "returnUrl = f'https://example.com/{custId}'\nprint('well')"
WELL = ScriptResult("https://example.com/7", "well\n", "")
TOO_LONG = "The script ran for more than 250 ms"
TOO_BIG = "he script needs more than 64 MB of memory"

VARIABLES: dict[str, object] = {
    "custId": 7,
    "linkId": 2**40,
    "shipmentId": 3,
    "linkUrl": "https://example.com/blåbær?🌷",
    "linkHits": 4,
    "recipient": {
        "name": 'Ola "O" Nordmann',
        "email": "ola@example.com",
        "our_contact_id": None,
        "extra_fields": {"x_size": "42", "x_member": True},
        "interests": [1, 2],
        "selections": [],
        "projects": [9],
    },
    "returnUrl": "",
}

UNSTOPPABLE = "x = ()\ny = ()\nfor i in range(60):\n    x = (x, x)\n    y = (y, y)\nx == y"
"""One operation that would take years: nothing within its process can stop it."""

ENDLESS = [
    "while True: pass",
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "print('x' * 1000)\nwhile True: print('y' * 1000)",
    UNSTOPPABLE,
]

HOSTILE = [
    ("x = []\nwhile True: x.append('a' * 10_000)", TOO_BIG),
    ("x = 'a'\nwhile True: x += x", TOO_BIG),
    ("x = 'a' * 10**10", f"Line 1: t{TOO_BIG}"),
    ("x = 'a,' * 15_000_000\nx.split(',')", TOO_BIG),
    ("def f(n):\n    return f(n + 1)\nf(0)", "Line 2: maximum recursion depth exceeded"),
    ("x = 10**10**10", f"Line 1: t{TOO_BIG}"),
    ("sorted(range(10**9))", TOO_BIG),
    ("().__class__.__base__.__subclasses__()", "Line 1: 'tuple' object has no attribute '__class__'"),
    ("\nopen('/etc/passwd').read()", "Line 2: scripts cannot open files"),
    ("import os\nprint(os.environ)", "Line 1: scripts cannot import"),
    ("__import__('os')", "Line 1: name '__import__' is not defined"),
    ("globals()", "Line 1: name 'globals' is not defined"),
    ("exec('import os')", "Line 1: name 'exec' is not defined"),
    ("x = 1\neval('x')", "Line 2: name 'eval' is not defined"),
    ("locals().clear()", "Line 1: name 'locals' is not defined"),
    ("raise ValueError('x' * 20_000_000)", "Line 1: x"),
    ("raise ValueError(1, 2)", "Exceptions can only be called with zero or one string argument"),
    ("raise SystemExit()", "Line 1: SystemExit"),
    ("raise TimeoutError('feed time limit exceeded')", "Line 1: feed time limit exceeded"),
    ("for i in range(1000):\n    try: open('x')\n    except PermissionError: pass", "Line 2: scripts cannot open files"),
    ("returnUrl = 'x' * 4001", "returnUrl is longer than 4,000 characters"),
    ("returnUrl = 'x' * 20_000_000", "returnUrl is longer than 4,000 characters"),
    ("returnUrl = ['x'] * 1_000_000", "returnUrl must be text"),
    ("returnUrl = None", "returnUrl must be text"),
    ("class A: pass\nreturnUrl = A()", "returnUrl must be text"),
    ("type = len = str = None\nreturnUrl = 5", "returnUrl must be text"),
]

PROBLEMS = [
    ("x = 1\ny = 2\nprint(x)\nprint(foo)\n", "Line 4: name 'foo' is not defined"),
    ("x = 1\r\ny = 2\r\nprint(foo)", "Line 3: name 'foo' is not defined"),
    ("x = 1\ry = 2\rprint(foo)", "Line 3: name 'foo' is not defined"),
    ("\ufeffx = 1\nprint(foo)", "Line 2: name 'foo' is not defined"),
    ("def f():\n    return g()\n\ndef g():\n    return 1 / 0\n\nf()", "Line 5: division by zero"),
    ("x = {}\nx['a']", "Line 2: no such key: 'a'"),
    ("\nraise KeyError", "Line 2: no such key: ''"),
    ("raise ValueError('a\\n\\tb\\x00c')", "Line 1: a b c"),
    ("raise ValueError", "Line 1: ValueError"),
    ("assert custId == 8", "Line 1: assert 7 == 8"),
    ("int('abc')", "Line 1: invalid literal for int() with base 10: 'abc'"),
]

UNPARSED = [
    ("print('a", "Line 1: missing closing quote in string literal"),
    ("x = 1\nprint('''a\n\n", "Line 2: missing closing quote in string literal"),
    ("x = 1\ny = (x,\n\n\n", "Line 2: unexpected EOF while parsing"),
    ("x = 1\ny = \\", "Line 2: Expected a newline after line continuation character"),
    ("x = 1\n  y = 2", "Line 2: Unexpected indentation"),
    ("\tx = 1", "Line 1: Unexpected indentation"),
    ("if custId:", "Line 1: Expected an indented block after `if` statement"),
    ("if custId:\n\tx = 1\n        y = 2", "Line 3: Unexpected indentation"),
    ("x = 1\r\n\r\ny = = 2\r\n", "Line 3: Expected an expression"),
    ("import_ = 1\nx = = import_", "Line 2: Expected an expression"),
    ("x = = 1\nimport os", "Line 1: Expected an expression"),
    ("x = 1\ndel x", "Line 2: scripts do not know the 'del' statement"),
    ("x = 1\nyield x", "Line 2: scripts do not know yield expressions"),
    ("await custId", "Line 1: 'await' outside function"),
    ("1/0\nx = )", "Line 2: "),
    ("🌷 = 1", "Line 1: Got unexpected token 🌷"),
    ("x = 1\nprint('\x00')", "Line 2: the source has a character that no text has"),
    ("\ud800", "Line 1: the source has a character that no text has"),
    ("(" * 30_000, "Line 1: Source is too deeply nested"),
    ("x = " + "1 + " * 8_000 + "1", "Line 1: Source is too deeply nested"),
]

PARSED = [
    ("", ""),
    ("\n\n", ""),
    ("# nothing", ""),
    ("print(1)  # a comment", "1\n"),
    ("if custId:\n    print(1)", "1\n"),
    ("if custId:\r\n\tprint(1)\r\n", "1\n"),
    ("blåbær = 1\nprint(blåbær, '🌷', '例え')", "1 🌷 例え\n"),
    ("print('''a\r\nb''')", "a\nb\n"),
    ("print(1)\nreturn\nprint(2)", "1\n"),
    ("print(1, end='')\n5", "1"),
    ("print('\\x00a\\tb\\x1b[31m\\x85\\r\\n')", "ab[31m\n\n"),
    ("x = \\\n  5\nprint(x)", "5\n"),
]

IMPORTS = [
    "import os",
    "import math",
    "x = 1\nimport re as r",
    "from os import getenv",
    "from  os\\\n import\\\n getenv",
    "from os.path import*",
    "from os import(getenv)",
    "from . import x",
    "from.x import y",
    "import\\\nos",
    "\\\nimport os",
    " \t\f\nimport os",
    "x = 1; import os",
    "x = 1;import\tos",
    "if custId: import os",
    "if custId:\n    import os",
    "def f():\n    import os\nf()",
    "try: import os\nexcept Exception: pass",
    "x = f\"{'\"'}\"; import os; y = ''",
    "x = '''\n'''\nimport os",
    "x = 1\rimport os",
    "\ufeffimport os",
    "x = exec\nx('import os')",
    "ｅｘｅｃ('import os')",
    "try: 1/0\nexcept Exception as exec: pass\nexec('import os')",
    "try: 1/0\nexcept Exception as\\\n ｅｖａｌ: pass\neval('1')",
    "try: 1/0\nexcept Exception as locals: pass\nlocals().clear()",
    "print(f\"{exec('import os')}\")",
    "list(map(exec, ['import os']))",
    "getattr(print, '__self__')",
    "'{0.__class__}'.format(1)",
    "__builtins__",
    "(lambda: 0).__globals__",
    "compile('import os', 'a', 'exec')",
]

NO_IMPORTS = [
    "print('import os')  # import os",
    "important = 1; imported = important",
    "print('We import wine from Spain, from us: import it')",
    "x = 'https://example.com/import/exec?eval=as;import'",
    "x = '''\nimport wine\nfrom spain import it\n'''",
    "x = f\"{'import'}: {custId:>5} import\"",
    "print('as executives')",
]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@asynccontextmanager
async def running(workers: int = 2, most_waiting: int = 200, milliseconds: int = 250) -> AsyncIterator[Sandbox]:
    """A sandbox that has started, and stops."""
    sandbox = Sandbox(workers, most_waiting, milliseconds)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@pytest.fixture(scope="module")
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Gives time enough for a machine that has other work, too."""
    async with running(milliseconds=20_000) as started:
        yield started


def workers_of(pid: int) -> list[int]:
    """The worker processes of this process that have not ended."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z" and b"monty" in (directory / "cmdline").read_bytes():
                found.append(int(directory.name))
    return found


def seconds_of(pid: int) -> float:
    """The CPU time that a process has used; 0 when it has ended."""
    with suppress(OSError):
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def ends(watched: int) -> bool:
    """Whether the process of this file descriptor ends within a minute."""
    try:
        return bool(select.select([watched], [], [], 60)[0])
    finally:
        os.close(watched)


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_megabytes() -> float:
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 2**10


async def test_the_variables_arrive(sandbox: Sandbox) -> None:
    names = [name for name in VARIABLES if name != "returnUrl"]
    result = await sandbox.run("\n".join(f"print({name})" for name in names) + "\nreturnUrl = linkUrl + str(linkHits)", VARIABLES)
    assert result.log.splitlines() == [str(VARIABLES[name]) for name in names]
    assert result == ScriptResult("https://example.com/blåbær?🌷4", result.log, "")


async def test_a_script_may_leave_the_return_url_alone_or_set_it_anywhere(sandbox: Sandbox) -> None:
    assert await sandbox.run("x = returnUrl", VARIABLES) == ScriptResult()
    source = "def choose(hits):\n    global returnUrl\n    if hits > 3:\n        returnUrl = 'x' * 4000\n\nchoose(linkHits)"
    assert await sandbox.run(source, VARIABLES) == ScriptResult("x" * 4000)


async def test_a_script_changes_nothing_of_ours(sandbox: Sandbox) -> None:
    variables: dict[str, object] = {"recipient": {"interests": [1]}, "returnUrl": ""}
    await sandbox.run("recipient['interests'].append(2)\nrecipient = 5\nreturnUrl = 'x'", variables)
    assert variables == {"recipient": {"interests": [1]}, "returnUrl": ""}


@pytest.mark.parametrize(("source", "problem"), HOSTILE)
async def test_a_hostile_script_fails_alone_and_a_good_one_works_right_after(sandbox: Sandbox, source: str, problem: str) -> None:
    result = await sandbox.run(source, VARIABLES)
    assert problem in result.problem
    assert result.return_url == ""
    assert len(result.problem) <= MOST_PROBLEM
    assert await sandbox.run(GOOD, VARIABLES) == WELL


@pytest.mark.parametrize("source", ENDLESS)
async def test_an_endless_script_fails_alone_and_a_good_one_works_right_after(source: str) -> None:
    async with running() as sandbox:
        result = await sandbox.run(source, VARIABLES)
        assert (result.return_url, result.problem) == ("", TOO_LONG)
        assert await sandbox.run(GOOD, VARIABLES) == WELL


@pytest.mark.parametrize(("source", "problem"), PROBLEMS)
async def test_a_problem_names_the_line_of_the_marketers_source(sandbox: Sandbox, source: str, problem: str) -> None:
    assert (await sandbox.run(source, VARIABLES)).problem == problem
    assert await sandbox.problem_of(source) == ""


@pytest.mark.parametrize(("source", "problem"), UNPARSED)
async def test_a_source_that_does_not_parse_is_told_before_it_runs(sandbox: Sandbox, source: str, problem: str) -> None:
    found = await sandbox.problem_of(source)
    assert found.startswith(problem)
    assert await sandbox.run(source, VARIABLES) == ScriptResult(problem=found)


@pytest.mark.parametrize(("source", "printed"), PARSED)
async def test_an_odd_source_runs(sandbox: Sandbox, source: str, printed: str) -> None:
    assert await sandbox.problem_of(source) == ""
    assert await sandbox.run(source, VARIABLES) == ScriptResult(log=printed)


async def test_asking_for_the_problem_of_a_source_runs_nothing_of_it(sandbox: Sandbox) -> None:
    assert await sandbox.problem_of("while True: pass") == ""
    assert await sandbox.problem_of("raise ZeroDivisionError") == ""


@pytest.mark.parametrize("source", IMPORTS)
async def test_nothing_can_be_imported(sandbox: Sandbox, source: str) -> None:
    result = await sandbox.run(source, VARIABLES)
    assert re.match(r"Line \d: (scripts cannot import|exec, eval and locals|name '\w+' is not defined|.* has no attribute)", result.problem)


@pytest.mark.parametrize("source", NO_IMPORTS)
async def test_texts_may_speak_of_imports(sandbox: Sandbox, source: str) -> None:
    assert (await sandbox.run(source, VARIABLES)).problem == ""


async def test_a_log_is_cut_as_it_comes(sandbox: Sandbox) -> None:
    short, cut = await asyncio.gather(
        sandbox.run(f"print('x' * {MOST_LOG}, end='')", VARIABLES),
        sandbox.run(f"for i in range({MOST_LOG} + 1): print('x', end='')\nreturnUrl = 'y'", VARIABLES),
    )
    assert short == ScriptResult(log="x" * MOST_LOG)
    assert cut == ScriptResult("y", "x" * (MOST_LOG - 1) + "…")


async def test_what_was_printed_before_a_failure_is_kept(sandbox: Sandbox) -> None:
    assert await sandbox.run("print('a')\nfoo", VARIABLES) == ScriptResult("", "a\n", "Line 2: name 'foo' is not defined")


async def test_nothing_leaks_from_one_run_into_another() -> None:
    async with running(workers=1) as sandbox:
        source = "left = custId\nprint = None\nclass str: pass\nreturnUrl = 'https://example.com/'\nrecipient['name'] = 'Kari'"
        for _ in range(5):
            assert (await sandbox.run(source, VARIABLES)).return_url == "https://example.com/"
            assert (await sandbox.run("left", {})).problem == "Line 1: name 'left' is not defined"
            assert (await sandbox.run("custId", {})).problem == "Line 1: name 'custId' is not defined"
            assert await sandbox.run("print(str(recipient['name']), returnUrl)", VARIABLES) == ScriptResult(log='Ola "O" Nordmann \n')


async def test_an_endless_script_among_others_holds_up_no_answer() -> None:
    async with running(workers=2) as sandbox:
        results = await asyncio.gather(*(sandbox.run("while True: pass" if run in (0, 9) else GOOD, VARIABLES) for run in range(20)))
    assert [run for run, result in enumerate(results) if result != WELL] == [0, 9]
    assert results[0] == results[9] == ScriptResult(problem=TOO_LONG)


async def test_waiting_does_not_count_and_too_many_are_refused_at_once() -> None:
    async with running(workers=1, most_waiting=2) as sandbox:
        sources = ["while True: pass", UNSTOPPABLE, GOOD, GOOD, GOOD]
        asked = sandbox.problem_of(GOOD)
        *results, unknown = await asyncio.gather(*(sandbox.run(source, VARIABLES) for source in sources), asked, return_exceptions=True)
        refused = ScriptResult(problem="Too many scripts are waiting", looked_at=False)
        assert results == [ScriptResult(problem=TOO_LONG)] * 2 + [WELL, refused, refused]
        assert isinstance(unknown, DomainError)
        assert unknown.reason is Reason.scripts_busy
        assert await sandbox.run(GOOD, VARIABLES) == WELL


async def test_a_script_that_waits_too_long_is_not_run() -> None:
    sandbox = Sandbox(workers=1, waiting_seconds=0.1)
    await sandbox.start()
    results = await asyncio.gather(*(sandbox.run(source, VARIABLES) for source in ("while True: pass", GOOD)))
    assert results == [ScriptResult(problem=TOO_LONG), ScriptResult(problem="Too many scripts are waiting", looked_at=False)]
    assert await sandbox.run(GOOD, VARIABLES) == WELL
    await sandbox.stop()


async def test_a_script_that_is_late_again_and_again_runs_one_at_a_time_until_it_is_well() -> None:
    late = "for number in range(custId): pass"
    async with running(workers=2) as sandbox:
        for _ in range(3):
            assert (await sandbox.run(late, {**VARIABLES, "custId": 10**12})).problem == TOO_LONG
        runs = [sandbox.run(late, {**VARIABLES, "custId": 10**12}) for _ in range(20)]
        results = await asyncio.gather(*runs, *(sandbox.run(GOOD, VARIABLES) for _ in range(20)))
        assert [result.problem for result in results[:20]] == [TOO_LONG] + ["The script has run for too long again and again"] * 19
        assert results[20:] == [WELL] * 20
        assert (await sandbox.run(late, {**VARIABLES, "custId": 1})).problem == ""
        results = await asyncio.gather(*(sandbox.run(late, {**VARIABLES, "custId": 1}) for _ in range(5)))
        assert {result.problem for result in results} == {""}


async def test_a_caller_that_goes_takes_its_place_in_the_queue_along() -> None:
    async with running(workers=1, most_waiting=1) as sandbox:
        first, second = (asyncio.ensure_future(sandbox.run("while True: pass", VARIABLES)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        assert await sandbox.run(GOOD, VARIABLES) == WELL
        assert (await first).problem == TOO_LONG


async def test_a_sandbox_that_does_not_run_answers_so() -> None:
    sandbox = Sandbox()
    await sandbox.stop()
    assert await sandbox.run(GOOD, VARIABLES) == ScriptResult(problem="Scripts do not run now", looked_at=False)
    with pytest.raises(DomainError, match="Scripts do not run now"):
        await sandbox.problem_of(GOOD)


async def test_stopping_ends_what_runs_and_answers_what_waits() -> None:
    async with running(workers=1) as sandbox:
        runs = [asyncio.ensure_future(sandbox.run(source, VARIABLES)) for source in ("while True: pass", GOOD)]
        await asyncio.sleep(0)
        await sandbox.stop()
        await sandbox.stop()
        assert [result.problem for result in await asyncio.gather(*runs)][1] == "Scripts do not run now"
        await sandbox.start()
        assert await sandbox.run(GOOD, VARIABLES) == WELL


async def test_variables_that_cannot_be_handed_over_are_a_problem(sandbox: Sandbox) -> None:
    assert (await sandbox.run(GOOD, {"custId": "\ud800"})).problem
    assert (await sandbox.run(GOOD, {"custId": object()})).problem == "The script could not be run"


@linux
async def test_a_worker_that_hangs_or_dies_is_replaced() -> None:
    before = workers_of(os.getpid())
    async with running(workers=1) as sandbox:
        [worker] = set(workers_of(os.getpid())) - set(before)
        os.kill(worker, signal.SIGSTOP)
        assert (await sandbox.run(GOOD, VARIABLES)).problem in (TOO_LONG, "")  # one that was not ready yet is replaced unnoticed
        assert await sandbox.run(GOOD, VARIABLES) == WELL
        await sandbox.stop()
        await sandbox.start()
        [worker] = set(workers_of(os.getpid())) - set(before)
        watched = os.pidfd_open(worker)
        os.kill(worker, signal.SIGKILL)
        assert ends(watched)
        assert await sandbox.run(GOOD, VARIABLES) == WELL
    assert set(workers_of(os.getpid())) <= set(before)


@linux
async def test_a_worker_has_no_environment_and_none_of_our_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKEDLINKS_SECRET", "secret")
    before = set(workers_of(os.getpid()))
    with (tmp_path / "database").open("w") as file, socket.create_server(("127.0.0.1", 0)) as listening:
        ours = {os.readlink(f"/proc/self/fd/{opened.fileno()}") for opened in (file, listening)}
        async with running():
            for worker in set(workers_of(os.getpid())) - before:
                assert Path(f"/proc/{worker}/environ").read_bytes() == b""
                assert not ours & {os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()}


@linux
async def test_hostile_scripts_leave_no_memory_and_no_processes_behind() -> None:
    most_workers = 4 + len(workers_of(os.getpid()))
    async with running(workers=4, milliseconds=50) as sandbox:
        runs = [*ENDLESS, *(source for source, _ in HOSTILE)]
        await asyncio.gather(*(sandbox.run(source, VARIABLES) for source in runs))
        before = resident_megabytes()
        for _ in range(200 // len(runs) + 1):
            results = await asyncio.gather(*(sandbox.run(source, VARIABLES) for source in runs))
            assert all(result.problem for result in results)
            assert len(workers_of(os.getpid())) <= most_workers
        assert resident_megabytes() - before < 20


@linux
async def test_printing_without_end_takes_no_memory_of_ours() -> None:
    async with running(workers=1, milliseconds=1000) as sandbox:
        before = resident_megabytes()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        result = await sandbox.run("while True: print('x' * 100_000)", VARIABLES)
    assert result.log == "x" * (MOST_LOG - 1) + "…"
    assert peak_megabytes() - before < 10


SERVER = """
import asyncio, sys
from server.clicks.sandbox import Sandbox

async def serve():
    sandbox = Sandbox(workers=1)
    await sandbox.start()
    while True:
        await sandbox.run(sys.argv[1], {}) if sys.argv[1] else await asyncio.sleep(60)

asyncio.run(serve())
"""


@linux
@pytest.mark.parametrize("source", ["", "while True: pass", UNSTOPPABLE])
def test_workers_end_when_the_server_is_killed(source: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, source], cwd=ROOT) as server:
        try:
            worker = _caught_at_work(server.pid, 0.05 if source else 0.0)
            watched = os.pidfd_open(worker)
        finally:
            server.kill()
    ended = ends(watched)
    if not ended:
        os.kill(worker, signal.SIGKILL)
    assert ended


def _caught_at_work(server: int, seconds: float) -> int:
    """The worker of a server that is frozen while it runs a script, so that its deadline cannot end the worker any more."""
    while True:
        if any(seconds_of(worker) >= seconds for worker in workers_of(server)):
            os.kill(server, signal.SIGSTOP)
            for worker in workers_of(server):
                return worker
            os.kill(server, signal.SIGCONT)


_tokens = st.sampled_from(
    [
        *"()[]{}:;,.=+-*/%<>\\'\"#\n\r\t 0x1è🌷\x00",
        *["    ", '"""', "f'", "returnUrl", "recipient", "print", "def f():", "lambda x:", "for x in", "class A:", "if", "else:", "while"],
        *["try:", "except", "raise", "import", "from", "exec", "and", "not", "await", "as", "return", "yield", "match x:", "case"],
    ]
)
_sources = (
    st.text(st.characters(), max_size=200) | st.lists(_tokens, max_size=40).map(" ".join) | st.lists(_tokens, max_size=40).map("".join)
)


@given(source=_sources)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_is_answered_by_a_result(sandbox: Sandbox, source: str) -> None:
    result = await sandbox.run(source, VARIABLES)
    assert len(result.return_url) <= MOST_RETURN_URL
    assert len(result.log) <= MOST_LOG
    assert len(result.problem) <= MOST_PROBLEM
    assert not (result.problem and result.return_url)
    unparsed = await sandbox.problem_of(source)
    assert unparsed in ("", result.problem)
