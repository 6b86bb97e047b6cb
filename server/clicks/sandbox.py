"""Runs marketers' scripts where they can do no harm: each in a process of its own that ends with it."""

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog
from pydantic_monty import Monty, MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError, ResourceLimits

from server.clicks.script_code import MOST_RETURN_URL, PARSE, RUN
from server.clicks.script_problem import CONTROL, MOST_MEGABYTES, cut, problem_in, problem_of_failure, problem_of_time
from server.model.errors import DomainError, Reason

if sys.platform == "linux":
    import resource

log = structlog.get_logger()

OFTEN, MOST_NOTED = 3, 1_000
"""How often in a row a script may run for too long before it waits behind all others, and how many such scripts are remembered."""

MOST_LOG = 1_000
"""Characters of a log that leave the sandbox."""

MOST_CALLS = 200
"""Calls inside one another, the sandbox's own two among them."""

_GRACE_SECONDS = 0.25
"""What a process may exceed a script's time by before it is killed: only between its steps does it see that the time is over."""

_ANSWER_SECONDS = 1.0
"""What a process may take for anything else: its start, above all."""

_LIMITS = ResourceLimits(max_memory=MOST_MEGABYTES * 2**20, max_recursion_depth=MOST_CALLS, max_suspensions=20, max_total_sleep_secs=0.0)

_NOT_RUN = "Scripts do not run now"
_TOO_MANY = "Too many scripts are waiting"


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What became of a script: what it left in `returnUrl` (empty: nothing, or it failed), what it printed, and why it failed.

    `looked_at` = False says that it failed for no fault of its own.
    """

    return_url: str = ""
    log: str = ""
    problem: str = ""
    looked_at: bool = True


class Sandbox:
    """Runs scripts, `workers` at a time. Whatever a script does, it is answered by a ScriptResult, and the next one knows nothing of it.

    A worker is a thread with a process that is started for one script and ends with it: no state is left, and of ours it has no environment
    and no open file but stderr. Four things end a script: its own look at the clock between its steps, the library that kills its process
    `_GRACE_SECONDS` later, the kernel that counts the process's CPU time when this server is gone, and the end of its pipes.
    """

    def __init__(self, workers: int = 2, most_waiting: int = 20_000, milliseconds: int = 250, waiting_seconds: float = 3.0) -> None:
        """`waiting_seconds` is how long a script waits for a worker, before it fails for no fault of its own."""
        self._workers = workers
        self._most_waiting = most_waiting
        self._waiting_seconds = waiting_seconds
        self._free = asyncio.Semaphore(workers)
        self._milliseconds = milliseconds
        self._limits = _LIMITS | ResourceLimits(max_feed_duration_secs=milliseconds / 1000)
        self._cpu_seconds = math.floor(milliseconds / 1000 + _GRACE_SECONDS) + 1
        self._waiting = 0
        self._late: Counter[str] = Counter()
        self._running_late: set[str] = set()
        self._pool: Monty | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Makes ready to run. Raises RuntimeError or FileNotFoundError when there is no sandbox to start."""
        pool = Monty(
            min_processes=self._workers,
            max_processes=self._workers,
            max_checkouts_per_worker=1,
            request_timeout=self._milliseconds / 1000 + _ANSWER_SECONDS,
            feed_duration_limit_grace=_GRACE_SECONDS,
        )
        await asyncio.to_thread(pool.__enter__)
        # Threads of our own and not AsyncMonty: its threads wake the loop when Python may be ending already, and abort it (tried).
        self._threads = ThreadPoolExecutor(self._workers, "script")
        self._pool = pool

    async def stop(self) -> None:
        """Ends when what runs has ended, which its time bounds; what waits is answered by a problem."""
        pool, threads, self._pool, self._threads = self._pool, self._threads, None, None
        if threads:
            await asyncio.to_thread(threads.shutdown)
        if pool:
            await asyncio.to_thread(pool.__exit__, None, None, None)

    async def run(self, source: str, variables: Mapping[str, object]) -> ScriptResult:
        """Runs a script that reads these variables. Its time counts from its start; waiting for a worker does not.

        One that took too long several times in a row runs one at a time, and is not waited for: the others have to get through.
        """
        if self._late[source] < OFTEN:
            return self._noted(source, await self._in_turn(partial(self._run, source, variables)))
        if source in self._running_late:
            return ScriptResult(problem="The script has run for too long again and again", looked_at=False)
        self._running_late.add(source)
        try:
            return self._noted(source, await self._in_turn(partial(self._run, source, variables)))
        finally:
            self._running_late.discard(source)

    def _noted(self, source: str, result: ScriptResult) -> ScriptResult:
        if result.problem == problem_of_time(self._milliseconds):
            if len(self._late) >= MOST_NOTED:
                self._late.clear()
            self._late[source] += 1
        elif result.looked_at:
            self._late.pop(source, None)
        return result

    async def problem_of(self, source: str) -> str:
        """Why a source does not parse, with its line; empty when it does. Nothing of it runs. Raises SCRIPTS_BUSY when it cannot tell."""
        result = await self._in_turn(partial(self._parse, source))
        if not result.looked_at:
            raise DomainError(Reason.scripts_busy, f"the script could not be looked at: {result.problem}")
        return result.problem

    async def _in_turn(self, work: Callable[[], ScriptResult]) -> ScriptResult:
        if self._threads is None:
            return ScriptResult(problem=_NOT_RUN, looked_at=False)
        if self._free.locked() and self._waiting >= self._most_waiting:
            return ScriptResult(problem=_TOO_MANY, looked_at=False)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._waiting_seconds):
                await self._free.acquire()
        except TimeoutError:
            return ScriptResult(problem=_TOO_MANY, looked_at=False)
        finally:
            self._waiting -= 1
        return await self._run_now(work)

    async def _run_now(self, work: Callable[[], ScriptResult]) -> ScriptResult:
        """Runs it in a thread, and frees the worker when the thread is done, whether or not somebody waits for it still."""
        if self._threads is None:  # stopped while this waited
            self._free.release()
            return ScriptResult(problem=_NOT_RUN, looked_at=False)
        loop = asyncio.get_running_loop()
        running = self._threads.submit(work)
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._free.release))
        return await asyncio.wrap_future(running)

    def _run(self, source: str, variables: Mapping[str, object]) -> ScriptResult:
        printed = _Log()
        try:
            url = self._fed(RUN, source, variables, printed)
        except _Failed as failed:
            return ScriptResult(log=printed.text(), problem=failed.problem)
        if not isinstance(url, str):
            return ScriptResult(log=printed.text(), problem="returnUrl must be text")
        if len(url) > MOST_RETURN_URL:
            return ScriptResult(log=printed.text(), problem=f"returnUrl is longer than {MOST_RETURN_URL:,} characters")
        return ScriptResult(url, printed.text())

    def _parse(self, source: str) -> ScriptResult:
        try:
            self._fed(PARSE, source, {}, _Log())
        except _Failed as failed:
            parsed = isinstance(failed.reason, ZeroDivisionError)
            return ScriptResult(problem="" if parsed else failed.problem, looked_at=failed.looked_at)
        return ScriptResult()

    def _fed(self, code: str, source: str, variables: Mapping[str, object], printed: "_Log") -> object:
        """What the code ends in, run in a process of its own. Raises _Failed."""
        source = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        if problem := problem_in(source):
            raise _Failed(problem)
        if self._pool is None:  # stopped while this waited
            raise _Failed(_NOT_RUN, looked_at=False)
        try:
            with self._pool.checkout(limits=self._limits) as session:
                self._bound(session.worker_pid)
                inputs = {"source": source, "variables": dict(variables)}
                result: object = session.feed_run(code, inputs=inputs, print_callback=printed)
                return result
        except MontyCrashedError as error:
            if error.timed_out:
                raise _Failed(problem_of_time(self._milliseconds)) from error
            log.error("script_process_died", reason=str(error))
            raise _Failed("The script could not be run to its end", looked_at=False) from error
        except (MontySyntaxError, MontyRuntimeError) as error:
            raise _Failed(problem_of_failure(error, source, self._milliseconds), error.exception()) from error
        except (MontyError, RuntimeError) as error:  # a value of no kind that scripts know, or no process could be started
            log.error("script_not_run", reason=str(error))
            raise _Failed("The script could not be run", looked_at=False) from error

    def _bound(self, pid: int | None) -> None:
        """Has the kernel end a process, which else computes on when this server is killed amid one long operation (tried)."""
        if sys.platform == "linux" and pid is not None:
            with suppress(OSError):  # it has ended already, or a container forbids this: one bound less
                resource.prlimit(pid, resource.RLIMIT_CPU, (self._cpu_seconds, self._cpu_seconds))


class _Failed(Exception):
    """Why a script failed, in words, and the exception that it ended with, if any."""

    def __init__(self, problem: str, reason: BaseException | None = None, looked_at: bool = True) -> None:
        super().__init__(problem)
        self.problem = problem
        self.reason = reason
        self.looked_at = looked_at


class _Log:
    """Takes what a script prints, as it comes, and keeps its beginning."""

    def __init__(self) -> None:
        self._kept = ""

    def __call__(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        if len(self._kept) <= MOST_LOG:
            self._kept += CONTROL.sub("", text)[: MOST_LOG + 1]

    def text(self) -> str:
        """The log as it is shown."""
        return cut(self._kept, MOST_LOG)
