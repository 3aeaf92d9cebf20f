"""A small warm process that confines itself once and forks a fresh child for each program.

It never sees a program, a test or a value: its client (the test runner) gets the channel to a child. From the client it
reads no more than the commands to start a child and to end it, and it ends itself with the client.
"""

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from bench.grading.sandbox import candidate, confinement, libc

START, END, GONE = b"s", b"e", b"g"  # the client's commands; "gone": the child seems to have ended by itself
GRACE_SECONDS = 0.05  # for a child that closed its channel to be seen to have ended
PROCESS = struct.Struct("!i")  # the id of a child that was started
STATUS = struct.Struct("!i?")  # its exit code, or minus the signal that ended it; whether it was still alive
PR_SET_CHILD_SUBREAPER = 36
# Imported once here rather than in every child: what programs use most.
WARM = """
    abc array bisect calendar cmath collections.abc contextlib copy dataclasses datetime decimal enum fractions
    functools hashlib heapq inspect itertools json math numbers operator random re statistics string textwrap time
    traceback typing unicodedata"""


def main(
    descriptor: int, *, seconds: float, memory_mb: int, readable: tuple[str, ...], without: tuple[str, ...]
) -> None:
    """Serve the client at the other end of `descriptor` until it goes away; the limits are for each child."""
    client = socket.socket(fileno=descriptor)
    for name in WARM.split():
        importlib.import_module(name)
    sys.path.pop()  # this project, which is last: a program has no business with it
    os.chdir("/")
    children = _own_children()
    if sys.platform == "linux":
        libc.call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of a child come to us, and are ended
    layers = confinement.confine(memory_mb=memory_mb, readable=readable, processes=True, without=without)
    client.sendall(json.dumps(layers).encode())
    gc.collect()
    gc.freeze()
    child = 0
    while command := client.recv(1):
        if command == START:
            ours, theirs = socket.socketpair()
            server = os.getpid()
            child = os.fork()
            if child == 0:
                client.close()
                ours.close()
                candidate.main(theirs, server=server, seconds=seconds, seccomp="seccomp" in layers)
                os._exit(0)
            socket.send_fds(client, [PROCESS.pack(child)], [ours.fileno()])
            ours.close()
            theirs.close()
        else:
            ending = _end(child, GRACE_SECONDS if command == GONE else 0)
            _end_orphans(children)
            child = 0
            client.sendall(STATUS.pack(*ending))
    if child:
        _end(child)
        _end_orphans(children)


def _end(child: int, grace: float = 0) -> tuple[int, bool]:
    """Reap a child that ends within `grace` seconds, or kill and reap it: the fields of `STATUS`."""
    reaped, status = os.waitpid(child, os.WNOHANG)
    deadline = time.monotonic() + grace
    while not reaped and time.monotonic() < deadline:
        time.sleep(0.001)
        reaped, status = os.waitpid(child, os.WNOHANG)
    if not reaped:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), not reaped


def _own_children() -> int | None:
    """A descriptor on the kernel's list of our children, opened while files can still be reached."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return os.open(path, os.O_RDONLY) if path.exists() else None


def _end_orphans(children: int | None) -> None:
    """End what a child left behind: nothing where seccomp forbids processes, anything on an unsafe host."""
    while children is not None and (left := os.pread(children, 4096, 0).split()):
        for process in map(int, left):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
