"""Is this program right? Generated programs against unit tests, graded side by side in sandboxed processes."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bench.episode import Grade, Problem, UnitTests, Verdict
from bench.grading.sandbox import confinement
from bench.grading.sandbox.plain_data import HEADER, MAX_FRAME, frame
from bench.grading.sandbox.time_limit import MAX_WALL_CLOCK
from bench.grading.verifier import Grading, Verifier

logger = logging.getLogger(__name__)

PACKAGES = [*dict.fromkeys(map(sysconfig.get_path, ("purelib", "platlib"))), confinement.PROJECT]
CANARY = UnitTests(asserts=("assert canary() == 1",))
START_SECONDS = 60.0  # to wait for two fresh Python processes on a busy machine
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # a program that leans on the order of a set gets the same verdict each time
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class ProgramVerifier(Verifier):
    """Runs the program in a reply against `problem.tests`; a `Verifier`, usable from any thread.

    Each of `grading.workers` threads owns a test runner and a sandbox server (see `test_runner`, `sandbox.server`),
    started when it gets its first program. Text, tests and verdicts go through the test runner; this process never
    parses what a model wrote.
    """

    def __init__(self, grading: Grading, *, without: tuple[str, ...] = ()) -> None:
        self.grading = grading
        self.without = without  # layers of the sandbox to leave out, see `confinement.confine`
        self._pool = ThreadPoolExecutor(grading.num_workers, "programs")
        self._own = threading.local()
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        """The verdict, when it is there. Raises ValueError at once for a problem without unit tests."""
        if problem.tests is None or not (problem.tests.asserts or problem.tests.check):
            raise ValueError(f"problem {problem.id} has no unit tests to run a program against")
        return self._pool.submit(self._grade, problem.id, problem.tests, text)

    @property
    def description(self) -> dict[str, str]:
        return {"grader": "unit tests", "isolation": confinement.isolation()}

    def close(self) -> None:
        """End every process; replies that wait are not graded."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            workers = set(self._workers)
        for worker in workers:
            worker.kill()
        self._pool.shutdown()

    def _grade(self, problem_id: str, tests: UnitTests, text: str) -> Verdict:
        start = time.monotonic()
        reply = self._ask(text, tests)
        if "broken" in reply:
            raise ValueError(f"the unit tests of problem {problem_id} cannot be run: {reply['broken']}")
        return Verdict(**reply | {"grade": Grade(reply["grade"]), "seconds": time.monotonic() - start})

    def _ask(self, text: str, tests: UnitTests, *, again: bool = True) -> dict[str, Any]:
        """The reply of this thread's test runner; one that dies is replaced and asked once more."""
        try:
            return self._worker().ask(text, tests)
        except _TestRunnerDiedError as death:
            self._discard()
            if death.overdue:
                return {"grade": Grade.TIMEOUT, "failure": str(death)}
            if again:
                return self._ask(text, tests, again=False)
            # Twice is no accident: the text's doing, if a test runner can still tell a right program from a wrong one.
            self._require_health(str(death))
            return {"grade": Grade.ERROR, "failure": f"grading it ends the test runner ({death})"}

    def _require_health(self, cause: str) -> None:
        try:
            grades = [self._worker().ask(f"def canary():\n    return {value}", CANARY)["grade"] for value in (1, 2)]
        except _TestRunnerDiedError as death:
            raise RuntimeError(f"the sandbox is broken: test runners end ({cause}), of a known program too") from death
        if grades != [Grade.CORRECT, Grade.WRONG]:
            raise RuntimeError(
                f"the sandbox is broken: test runners end ({cause}), and a known program gets the wrong grade"
            )

    def _worker(self) -> _Worker:
        if self._closed:
            raise RuntimeError("the verifier is closed")
        worker = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                layers = confinement.require_isolation(allow_unsafe=self.grading.allow_unsafe, without=self.without)
            worker = self._own.worker = _Worker(self.grading, layers, self.without)
            with self._lock:
                self._workers.add(worker)
                if self._closed:
                    worker.kill()
        return worker

    def _discard(self) -> None:
        worker, self._own.worker = self._own.worker, None
        worker.kill()
        with self._lock:
            self._workers.discard(worker)


class _TestRunnerDiedError(Exception):
    """A test runner ended instead of answering; `overdue` if that was because of its time limit."""

    def __init__(self, cause: str, *, overdue: bool) -> None:
        super().__init__(cause)
        self.overdue = overdue


class _Worker:
    """A test runner and its sandbox server: two processes that grade one program at a time."""

    def __init__(self, grading: Grading, layers: tuple[str, ...], without: tuple[str, ...]) -> None:
        self.max_seconds = (MAX_WALL_CLOCK + 1) * grading.program_seconds + 5
        limits: dict[str, Any] = {
            "seconds": grading.program_seconds,
            "memory_mb": grading.memory_mb,
            "without": without,
        }
        readable = tuple(map(str, confinement.program_files()))
        ours, runners = socket.socketpair()
        runner_side, server_side = socket.socketpair()
        with runners, runner_side, server_side:
            prefix = confinement.bubblewrap() if "bubblewrap" in layers else ()
            self.server = _start("sandbox.server", [server_side], limits | {"readable": readable}, prefix)
            self.test_runner = _start("programs.test_runner", [runner_side, runners], limits | {"parent": os.getpid()})
        self.lock = threading.Lock()
        self.report: str | None = None
        self.channel = ours
        self.stream = ours.makefile("rb")
        ours.settimeout(START_SECONDS)
        try:
            actual = self._receive()["layers"]
        except _TestRunnerDiedError as death:
            report = self.kill()
            raise RuntimeError(f"the sandbox does not start: {death}\n{report}") from death
        ours.settimeout(self.max_seconds)
        if missing := set(layers) - {"bubblewrap"} - set(actual):
            self.kill()
            raise RuntimeError(f"the sandbox lacks {', '.join(sorted(missing))}, which this host offered a moment ago")

    def ask(self, text: str, tests: UnitTests) -> dict[str, Any]:
        try:
            self.channel.sendall(frame({"text": text, "tests": dataclasses.asdict(tests)}))
        except OSError as error:
            raise _TestRunnerDiedError(f"not there ({error})", overdue=False) from error
        return self._receive()

    def kill(self) -> str:
        """End both processes and whatever runs under them; what they wrote to stderr. May be called twice."""
        with self.lock:
            if self.report is None:
                self.test_runner.kill()  # the server ends its child, then itself, when the test runner's socket closes
                report = self.test_runner.communicate()[1] + self.server.communicate()[1]
                self.report = report.decode(errors="replace").strip()[-2000:]
                self.channel.close()
            return self.report

    def _receive(self) -> dict[str, Any]:
        try:
            header = self.stream.read(HEADER.size)
            size = HEADER.unpack(header)[0] if len(header) == HEADER.size else MAX_FRAME + 1
            payload = self.stream.read(size) if size <= MAX_FRAME else b""
        except TimeoutError:
            raise _TestRunnerDiedError(f"no verdict within {self.max_seconds:g} seconds", overdue=True) from None
        except OSError:
            payload = b""  # it was killed with an answer half read
        if not payload:
            code = self.test_runner.wait()
            overdue = code == -signal.SIGPROF
            cause = "comparing the result takes too long" if overdue else f"it ended with code {code}"
            raise _TestRunnerDiedError(cause, overdue=overdue)
        return json.loads(payload)


def _start(
    module: str, sockets: list[socket.socket], options: dict[str, Any], prefix: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    """A process that runs `main` of a module of this package, with sockets to others and an environment of its own."""
    descriptors = [end.fileno() for end in sockets]
    arguments = ", ".join(map(str, descriptors))
    code = (
        f"import sys; sys.path += {PACKAGES!r}; "
        f"import bench.grading.{module} as program; program.main({arguments}, **{options!r})"
    )
    return subprocess.Popen(
        [*prefix, sys.executable, "-S", "-s", "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        env=ENVIRONMENT,
    )
