"""Processes that do algebra and can be killed: the owner's side of math_verify_worker.py.

`AlgebraPool.compare` blocks the calling thread for one answer; as many threads as there are workers may call it. A
worker that does not reply in time is killed (SIGKILL to its pidfd) and replaced; one that has served
`ANSWERS_PER_WORKER` is replaced too, since sympy's caches grow. Nothing is started before the first answer.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from bench.episode import Grade, Verdict
from bench.grading.sandbox.time_limit import TimeLimit

PROGRAM = Path(__file__).with_name("math_verify_worker.py")
ANSWERS_PER_WORKER = 2000
SHORTEST_WAIT = 0.01  # seconds
START_SECONDS = 120.0  # importing Math-Verify takes half a second on an idle machine
FAILURES = {
    Grade.CORRECT: "",
    Grade.WRONG: "not equal to the gold answer",
    Grade.UNPARSEABLE: "Math-Verify cannot read it",
    Grade.MEMORY: "comparing it exhausted its memory",
}


class WorkerDiedError(Exception):
    """A worker ended without a reply."""


class Worker:
    """One process and the socket to it."""

    def __init__(self, *, pid: int, pidfd: int, connection: socket.socket) -> None:
        self.num_answers = 0
        self._pid = pid
        self._pidfd = pidfd
        self._connection = connection

    def compare(self, gold: str, answer: str, seconds: float) -> dict:
        """The worker's reply. Raises TimeoutError or WorkerDiedError; in both cases the worker is of no further use."""
        self.num_answers += 1
        limit = TimeLimit(self._pid, seconds)
        try:
            self._connection.send(json.dumps({"gold": gold, "answer": answer}).encode())
            while (left := limit.left()) > 0:
                self._connection.settimeout(max(left, SHORTEST_WAIT))
                with contextlib.suppress(TimeoutError):
                    if reply := self._connection.recv(4096):
                        return json.loads(reply)
                    raise WorkerDiedError
        except (BrokenPipeError, ConnectionResetError) as error:
            raise WorkerDiedError from error
        raise TimeoutError

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        self._connection.close()


class ForkServer:
    """The process that has imported Math-Verify and forks workers."""

    def __init__(self, *, memory_mb: int, seconds: float) -> None:
        self._control, theirs = socket.socketpair()
        limits = json.dumps({"memory_mb": memory_mb, "seconds": seconds})
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", str(PROGRAM), str(theirs.fileno()), limits],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                start_new_session=True,  # Ctrl-C is for the owner, who then ends the workers
            )
        self._control.settimeout(START_SECONDS)
        if self._control.recv(5) != b"ready":
            raise RuntimeError(f"the process that compares answers did not start:\n{self._stderr()}")

    def fork(self) -> Worker:
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)  # a message stays a message
        with theirs:
            socket.send_fds(self._control, [b"f"], [theirs.fileno()])
            message, descriptors, _, _ = socket.recv_fds(self._control, 16, 1)
        if not message:
            ours.close()
            raise RuntimeError(f"the process that starts answer workers has ended:\n{self._stderr()}")
        return Worker(pid=int(message), pidfd=descriptors[0], connection=ours)

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()

    def _stderr(self) -> str:
        _, stderr = self._process.communicate(timeout=START_SECONDS)
        return stderr.decode(errors="replace")[-2000:]


class AlgebraPool:
    """At most `num_workers` workers, started when first needed."""

    def __init__(self, *, num_workers: int, seconds: float, memory_mb: int) -> None:
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._lock = threading.Lock()
        self._fork_server: ForkServer | None = None
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(num_workers):
            self._idle.put(None)  # stands for a worker that is not started yet

    @property
    def started(self) -> bool:
        return self._fork_server is not None

    def compare(self, gold: str, answer: str) -> Verdict:
        """Math-Verify's verdict on two formulas in dollars, within the limits.

        An answer that ends two workers in a row is UNPARSEABLE.
        """
        for _ in range(2):
            worker, kept = self._idle.get(), None
            try:
                worker = worker or self._new_worker()
                reply = worker.compare(gold, answer, self._seconds)
                if not reply["exhausted"] and worker.num_answers < ANSWERS_PER_WORKER:
                    kept = worker
                grade = Grade(reply["grade"])
                if reply["exhausted"] and grade is not Grade.CORRECT:
                    grade = Grade.MEMORY
                return Verdict(grade, failure=FAILURES[grade])
            except TimeoutError:
                return Verdict(Grade.TIMEOUT, failure=f"comparing it took more than {self._seconds:g} s")
            except WorkerDiedError:
                continue
            finally:
                if worker and not kept:
                    worker.kill()
                self._idle.put(kept)
        return Verdict(Grade.UNPARSEABLE, failure="comparing it ended the process that tried, twice")

    def close(self) -> None:
        with self._lock:
            while not self._idle.empty():
                if worker := self._idle.get():
                    worker.kill()
            if self._fork_server:
                self._fork_server.close()
                self._fork_server = None

    def _new_worker(self) -> Worker:
        with self._lock:
            if self._fork_server is None:
                self._fork_server = ForkServer(memory_mb=self._memory_mb, seconds=self._seconds)
            return self._fork_server.fork()
