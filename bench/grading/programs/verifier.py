"""Is this program right? Generated programs against unit tests, graded side by side in sandboxed processes."""

import os
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from bench.episode import Grade, Problem, UnitTests, Verdict
from bench.grading.sandbox import confinement
from bench.grading.sandbox.time_limit import MAX_WALL_CLOCK
from bench.grading.sandbox.workers import Worker, WorkerDiedError, Workers, start_process
from bench.grading.verifier import Grading, Verifier

CANARY = UnitTests(asserts=("assert canary() == 1",))


class ProgramVerifier(Verifier):
    """Runs the program in a reply against `problem.tests`; a `Verifier`, usable from any thread.

    A worker is a test runner and a sandbox server (see `test_runner`, `sandbox.server`). Text, tests and verdicts go
    through the test runner; this process never parses what a model wrote.
    """

    def __init__(self, grading: Grading, *, without: tuple[str, ...] = ()) -> None:
        self.grading = grading
        self.without = without  # layers of the sandbox to leave out, see `confinement.confine`
        self._workers = Workers(grading.num_workers, self._start)
        self._lock = threading.Lock()  # one thread tries out what the host offers, for all

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        """The verdict, when it is there. Raises ValueError at once for a problem without unit tests."""
        if problem.tests is None or not (problem.tests.asserts or problem.tests.check):
            raise ValueError(f"problem {problem.id} has no unit tests to run a program against")
        return self._workers.submit(self._grade, problem.id, problem.tests, text)

    @property
    def description(self) -> dict[str, str]:
        return {"grader": "unit tests", "isolation": confinement.isolation()}

    def close(self) -> None:
        """End every process; replies that wait are not graded."""
        self._workers.close()

    def _grade(self, problem_id: str, tests: UnitTests, text: str) -> Verdict:
        start = time.monotonic()
        try:
            reply = self._ask(text, tests)
        except WorkerDiedError as death:
            if death.overdue:
                reply = {"grade": Grade.TIMEOUT, "failure": f"comparing the result: {death}"}
            else:  # twice is no accident: the text's doing, if a test runner can still tell right from wrong
                self._require_health(str(death))
                reply = {"grade": Grade.ERROR, "failure": f"grading it ends the test runner ({death})"}
        if "broken" in reply:
            raise ValueError(f"the unit tests of problem {problem_id} cannot be run: {reply['broken']}")
        return Verdict(**reply | {"grade": Grade(reply["grade"]), "seconds": time.monotonic() - start})

    def _ask(self, text: str, tests: UnitTests, *, again: bool = True) -> dict[str, Any]:
        """The reply of this thread's test runner; one that dies before its time is up is replaced and asked again."""
        try:
            seconds = (MAX_WALL_CLOCK + 1) * self.grading.program_seconds + 5
            return self._workers.own().ask({"text": text, "tests": asdict(tests)}, seconds)
        except WorkerDiedError as death:
            self._workers.discard()
            if death.overdue or not again:
                raise
        return self._ask(text, tests, again=False)

    def _require_health(self, cause: str) -> None:
        try:
            grades = [self._ask(f"def canary():\n    return {value}", CANARY)["grade"] for value in (1, 2)]
        except WorkerDiedError as death:
            raise RuntimeError(f"the sandbox is broken: test runners end ({cause}), of a known program too") from death
        if grades != [Grade.CORRECT, Grade.WRONG]:
            raise RuntimeError(
                f"the sandbox is broken: test runners end ({cause}), and a known program gets the wrong grade"
            )

    def _start(self) -> Worker:
        with self._lock:
            layers = confinement.require_isolation(allow_unsafe=self.grading.allow_unsafe, without=self.without)
        limits = {
            "seconds": self.grading.program_seconds,
            "memory_mb": self.grading.memory_mb,
            "without": self.without,
        }
        readable = tuple(map(str, confinement.program_files()))
        ours, runners = socket.socketpair()
        runner_side, server_side = socket.socketpair()
        with runners, runner_side, server_side:
            prefix = confinement.bubblewrap() if "bubblewrap" in layers else ()
            server = start_process("sandbox.server", [server_side], limits | {"readable": readable}, prefix=prefix)
            limits["parent"] = os.getpid()
            test_runner = start_process("programs.test_runner", [runner_side, runners], limits)
        worker = Worker([test_runner, server], ours)
        if missing := set(layers) - {"bubblewrap"} - worker.layers:
            worker.kill()
            raise RuntimeError(f"the sandbox lacks {', '.join(sorted(missing))}, which this host offered a moment ago")
        return worker
