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
from typing import Any, Self

from bench.episode import Grade, Problem, UnitTests, Verdict
from bench.grading.programs.proxy import PATIENCE
from bench.grading.sandbox import confinement
from bench.grading.sandbox.plain_data import HEADER, MAX_FRAME, frame
from bench.grading.verifier import Grading

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


class ProgramVerifier:
    """Runs the program in a reply against `problem.tests`; a `Verifier`, usable from any thread.

    Each of `grading.workers` threads owns a judge and a sandbox server (see `judge`, `sandbox_server`), started when it
    gets its first program. Text, tests and verdicts go through the judge; this process never parses what a model wrote.
    """

    def __init__(self, grading: Grading, *, without: tuple[str, ...] = ()) -> None:
        self.grading = grading
        self.without = without  # layers of the sandbox to leave out, see `confinement.confine`
        self._pool = ThreadPoolExecutor(grading.num_workers, "programs")
        self._own = threading.local()
        self._slots: set[_Slot] = set()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        """The verdict to be; a problem without unit tests is refused at once."""
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
            slots = set(self._slots)
        for slot in slots:
            slot.kill()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _grade(self, problem_id: str, tests: UnitTests, text: str) -> Verdict:
        """The verdict of this thread's judge; one that dies is replaced and asked once more."""
        start = time.monotonic()
        for _ in range(2):
            try:
                answer = self._slot().ask(text, tests)
            except _JudgeDiedError as death:
                cause = str(death)
                self._discard()
                if death.overdue:
                    answer = {"grade": Grade.TIMEOUT, "answer": None, "failure": cause}
                    break
            else:
                break
        else:
            # Twice is no accident: the text's doing, if a judge can still tell a right program from a wrong one.
            answer = {"grade": Grade.ERROR, "answer": None, "failure": f"grading it ends the judge ({cause})"}
            self._require_health(cause)
        if "broken" in answer:
            raise ValueError(f"the unit tests of problem {problem_id} cannot be run: {answer['broken']}")
        return Verdict(Grade(answer["grade"]), answer["answer"], answer["failure"], time.monotonic() - start)

    def _require_health(self, cause: str) -> None:
        try:
            grades = [self._slot().ask(f"def canary():\n    return {value}", CANARY)["grade"] for value in (1, 2)]
        except _JudgeDiedError as death:
            raise RuntimeError(f"the sandbox is broken: judges die ({cause}), of a known program too") from death
        if grades != [Grade.CORRECT, Grade.WRONG]:
            raise RuntimeError(f"the sandbox is broken: judges die ({cause}), and a known program is misjudged")

    def _slot(self) -> _Slot:
        if self._closed:
            raise RuntimeError("the verifier is closed")
        slot = getattr(self._own, "slot", None)
        if slot is None:
            with self._lock:
                layers = confinement.require_isolation(allow_unsafe=self.grading.allow_unsafe, without=self.without)
            slot = self._own.slot = _Slot(self.grading, layers, self.without)
            with self._lock:
                self._slots.add(slot)
                if self._closed:
                    slot.kill()
        return slot

    def _discard(self) -> None:
        slot, self._own.slot = self._own.slot, None
        slot.kill()
        with self._lock:
            self._slots.discard(slot)


class _JudgeDiedError(Exception):
    """A judge ended instead of answering; `overdue` if that was because of its time limit."""

    def __init__(self, cause: str, *, overdue: bool) -> None:
        super().__init__(cause)
        self.overdue = overdue


class _Slot:
    """A judge and its sandbox server: two processes that grade one program at a time."""

    def __init__(self, grading: Grading, layers: tuple[str, ...], without: tuple[str, ...]) -> None:
        self.patience = (PATIENCE + 1) * grading.program_seconds + 5
        options: dict[str, Any] = {
            "seconds": grading.program_seconds,
            "memory_mb": grading.memory_mb,
            "parent": os.getpid(),
            "without": without,
            "readable": [str(path) for path in confinement.program_files()],
        }
        ours, judges = socket.socketpair()
        judge_side, server_side = socket.socketpair()
        with judges, judge_side, server_side:
            prefix = confinement.bubblewrap() if "bubblewrap" in layers else ()
            self.server = _start("sandbox.server", [server_side], options, prefix)
            self.judge = _start("programs.judge", [judge_side, judges], options)
        self.lock = threading.Lock()
        self.report: str | None = None
        self.channel = ours
        self.stream = ours.makefile("rb")
        ours.settimeout(START_SECONDS)
        try:
            actual = self._receive()["layers"]
        except _JudgeDiedError as death:
            report = self.kill()
            raise RuntimeError(f"the sandbox does not start: {death}\n{report}") from death
        ours.settimeout(self.patience)
        if missing := set(layers) - {"bubblewrap"} - set(actual):
            self.kill()
            raise RuntimeError(f"the sandbox lacks {', '.join(sorted(missing))}, which this host offered a moment ago")

    def ask(self, text: str, tests: UnitTests) -> dict[str, Any]:
        try:
            self.channel.sendall(frame({"text": text, "tests": dataclasses.asdict(tests)}))
        except OSError as error:
            raise _JudgeDiedError(f"not there ({error})", overdue=False) from error
        return self._receive()

    def kill(self) -> str:
        """End both processes and whatever runs under them; what they wrote to stderr. May be called twice."""
        with self.lock:
            if self.report is None:
                self.judge.kill()  # the server ends its child, then itself, when the judge's socket closes
                report = self.judge.communicate()[1] + self.server.communicate()[1]
                self.report = report.decode(errors="replace").strip()[-2000:]
                self.channel.close()
            return self.report

    def _receive(self) -> dict[str, Any]:
        try:
            header = self.stream.read(HEADER.size)
            size = HEADER.unpack(header)[0] if len(header) == HEADER.size else MAX_FRAME + 1
            payload = self.stream.read(size) if size <= MAX_FRAME else b""
        except TimeoutError:
            raise _JudgeDiedError(f"no verdict within {self.patience:g} seconds", overdue=True) from None
        except OSError:
            payload = b""  # it was killed with an answer half read
        if not payload:
            code = self.judge.wait()
            overdue = code == -signal.SIGPROF
            cause = "comparing the result takes too long" if overdue else f"it ended with code {code}"
            raise _JudgeDiedError(cause, overdue=overdue)
        return json.loads(payload)


def _start(
    module: str, sockets: list[socket.socket], options: dict[str, Any], prefix: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    """A process that runs `main` of a module of this package, with sockets to others and an environment of its own."""
    descriptors = [end.fileno() for end in sockets]
    arguments = ", ".join(map(str, descriptors))
    code = (
        f"import sys; sys.path += {PACKAGES!r}; "
        f"import bench.grading.{module} as program; program.main({arguments}, {json.dumps(options)!r})"
    )
    return subprocess.Popen(
        [*prefix, sys.executable, "-S", "-s", "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        env=ENVIRONMENT,
    )
