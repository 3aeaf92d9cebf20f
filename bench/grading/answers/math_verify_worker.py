r"""The program of the processes that do algebra on model text. Started by workers.py with `python -I`, never imported.

Math-Verify reads an answer with a LaTeX parser, but falls back to sympy's `parse_expr`, which *evaluates* its text, and
sympy can be sent into computations without end. So that text is touched only here: in a process without network or
writable disk, with limits on memory and processor time, that its owner kills when the time is up.

Two roles in one file. The *fork server* imports Math-Verify once (half a second) and then forks a *worker* whenever its
owner sends it a socket, so that a killed worker is replaced in milliseconds. Owner and worker exchange JSON on that
socket, one message per request and per reply. Everything ends with the owner: the fork server sees its socket close or
its parent change, and each worker ends with the fork server.
"""

import json
import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # `python -I` knows installed packages only

from bench.grading.sandbox import confinement

MAX_REQUEST = 1 << 18  # bytes
EXHAUSTED = 0.9  # of its address space: sympy swallows MemoryError, so that the peak has to tell


def run_fork_server(control: socket.socket, limits: dict) -> None:
    """Fork a worker for every socket that arrives; send back its id and a pidfd, to kill it by without a race."""
    logging.disable(logging.CRITICAL)
    if compare({"gold": "$1$", "answer": "$\\frac{2}{2}$"}) != {"grade": "correct"}:
        raise RuntimeError("Math-Verify finds that 2/2 is not 1; install the version that pyproject.toml pins")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no worker is waited for, none becomes a zombie
    owner, fork_server = os.getppid(), os.getpid()
    control.sendall(b"ready")
    while True:
        readable, _, _ = select.select([control], [], [], 1.0)
        if os.getppid() != owner:
            return
        if not readable:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            confinement.die_with_parent(fork_server)
            control.close()
            with socket.socket(fileno=descriptors[0]) as connection:
                run_worker(connection, **limits)
            os._exit(0)
        pidfd = os.pidfd_open(pid)  # the worker cannot have ended: it waits for its owner's first request
        socket.send_fds(control, [str(pid).encode()], [pidfd])
        os.close(pidfd)
        os.close(descriptors[0])


def run_worker(connection: socket.socket, *, memory_mb: int, seconds: float) -> None:
    os.dup2(1, 2)  # /dev/null: the parser complains to stderr, and nobody would empty that pipe
    with Path("/proc/self/status").open() as status:
        confinement.confine(memory_mb=memory_mb, readable=confinement.program_files())
        while request := connection.recv(MAX_REQUEST):
            # a second line of defence, should the owner be too busy to keep its own time
            budget = int(time.process_time() + seconds) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (budget, resource.RLIM_INFINITY))
            reply = compare(json.loads(request))
            reply["exhausted"] = peak_memory(status) > EXHAUSTED * (memory_mb << 20)
            connection.send(json.dumps(reply).encode())


def peak_memory(status: TextIO) -> int:
    """The most address space this process has had, in bytes."""
    status.seek(0)
    return next(int(row.split()[1]) << 10 for row in status if row.startswith("VmPeak:"))


def compare(request: dict) -> dict:
    """`{"gold", "answer"}` -> `{"grade": correct | wrong | unparseable | memory}`; both are formulas in dollars."""
    from math_verify import verify

    try:
        gold, answer = parse(request["gold"]), parse(request["answer"])
        if verify(gold, answer, allow_set_relation_comp=True, timeout_seconds=0):
            return {"grade": "correct"}
    except (MemoryError, RecursionError) as fault:
        return {"grade": "memory" if isinstance(fault, MemoryError) else "unparseable"}
    return {"grade": "wrong" if any(not isinstance(found, str) for found in answer) else "unparseable"}


@lru_cache(maxsize=256)
def parse(text: str) -> list:
    """Math-Verify's reading of a formula in dollars, which it must understand as a whole.

    Its search for a number in what it does not understand is off: that reads "5 # 6" as 5, and a model would learn to
    answer with several numbers. So is its own timeout, an alarm: the owner keeps the time.
    """
    from math_verify import LatexExtractionConfig
    from math_verify import parse as math_verify_parse

    return math_verify_parse(text, [LatexExtractionConfig()], parsing_timeout=0)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as owner_socket:
        run_fork_server(owner_socket, json.loads(sys.argv[2]))
