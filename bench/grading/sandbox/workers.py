"""Processes that grade one job at a time, as their owner sees them: started, asked, killed when overdue, replaced.

Owner and process exchange JSON frames (`plain_data`). A process confines itself, says by which layers, and then answers
one request after the other; it ends with its owner.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bench.episode import Verdict
from bench.grading.sandbox import confinement
from bench.grading.sandbox.plain_data import frame, read_frame
from bench.grading.sandbox.time_limit import TimeLimit

PACKAGES = [*dict.fromkeys(map(sysconfig.get_path, ("purelib", "platlib"))), confinement.PROJECT]
START_SECONDS = 120.0  # to wait for fresh Python processes on a busy machine
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # a program that leans on the order of a set gets the same verdict each time
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class WorkerDiedError(Exception):
    """A worker ended, or was ended, instead of answering; `overdue` if that was because of its time limit."""

    def __init__(self, cause: str, *, overdue: bool) -> None:
        super().__init__(cause)
        self.overdue = overdue


class Worker:
    """Processes that grade one job at a time together. The first of them holds the other end of `channel`."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], channel: socket.socket) -> None:
        self.processes = processes
        self.num_jobs = 0
        self._channel = channel
        self._stream = channel.makefile("rb")
        self._lock = threading.Lock()
        self._report: str | None = None
        try:
            self.layers = set(self._receive(START_SECONDS)["layers"])
        except WorkerDiedError as death:
            raise RuntimeError(f"the processes that grade did not start: {death}\n{self.kill()}") from death

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The reply. Raises WorkerDiedError if there is none; the worker is of no further use then."""
        self.num_jobs += 1
        try:
            self._channel.sendall(frame(request))
        except OSError as error:
            raise WorkerDiedError(f"not there ({error})", overdue=False) from error
        return self._receive(seconds)

    def kill(self) -> str:
        """End all processes and whatever runs under them; what they wrote to stderr. May be called twice."""
        with self._lock:
            if self._report is None:
                self.processes[0].kill()  # the others end when its sockets close
                report = b"".join(process.communicate()[1] for process in self.processes)
                self._report = report.decode(errors="replace").strip()[-2000:]
                self._channel.close()
                self._stream.close()
            return self._report

    def _receive(self, seconds: float) -> dict[str, Any]:
        process, payload = self.processes[0], b""
        with contextlib.suppress(OSError):  # it was killed with an answer half read
            if not TimeLimit(process.pid, seconds).wait_for(self._channel):
                raise WorkerDiedError(f"no verdict within {seconds:g} seconds", overdue=True)
            payload = read_frame(self._stream)
        if not payload:
            process.kill()  # which changes nothing where it has ended
            code = process.wait()
            overdue = code in (-signal.SIGPROF, -signal.SIGXCPU)
            raise WorkerDiedError("it takes too long" if overdue else f"it ended with code {code}", overdue=overdue)
        return json.loads(payload)


class Workers:
    """A worker for each of `num_threads` threads, started when that thread gets its first job."""

    def __init__(self, num_threads: int, start: Callable[[], Worker]) -> None:
        self.started: set[Worker] = set()
        self._start = start
        self._threads = ThreadPoolExecutor(num_threads, "graders")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, grade: Callable[..., Verdict], *arguments: Any) -> Future[Verdict]:
        """Call `grade` in one of the threads, where it may ask for `own` worker."""
        return self._threads.submit(grade, *arguments)

    def own(self) -> Worker:
        """The calling thread's worker."""
        if self._closed:
            raise RuntimeError("the verifier is closed")
        worker = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = self._start()
            with self._lock:
                self.started.add(worker)
                if self._closed:
                    worker.kill()
        return worker

    def discard(self) -> None:
        """End the calling thread's worker; the next job gets a new one."""
        worker, self._own.worker = self._own.worker, None
        worker.kill()
        with self._lock:
            self.started.discard(worker)

    def close(self) -> None:
        """End every process; jobs that wait are not done, and those under way fail."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            started = set(self.started)
        for worker in started:
            worker.kill()
        self._threads.shutdown()


def start_process(
    module: str,
    sockets: Sequence[socket.socket],
    options: Mapping[str, Any],
    *,
    packages: Sequence[str] = PACKAGES,
    prefix: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """A process that runs `main` of a module of bench.grading, with sockets to others and an environment of its own."""
    descriptors = [end.fileno() for end in sockets]
    code = (
        f"import sys; sys.path += {packages!r}; import bench.grading.{module} as program; "
        f"program.main({', '.join(map(str, descriptors))}, **{options!r})"
    )
    return subprocess.Popen(
        [*prefix, sys.executable, "-S", "-s", "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        env=ENVIRONMENT,
    )
