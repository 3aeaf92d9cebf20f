"""A seccomp filter: which system calls a confined process may not make.

Forbidden calls fail with EPERM, so that a program sees an ordinary `PermissionError`; calls newer than this table fail
with ENOSYS, as on an older kernel. The numbers are those of the kernel's own tables for x86_64 and aarch64.
"""

import contextlib
import csv
import ctypes
import errno
import functools
import os
import platform
import struct
from pathlib import Path

from bench.grading.sandbox import libc

_ROWS = csv.DictReader(Path(__file__).with_name("syscalls.csv").read_text(encoding="ascii").splitlines())
# A call's group, and its number on each machine ("" where it has no such call). Calls of the group "absent" fail with
# ENOSYS, so that libc falls back to calls whose arguments a filter can see; of the group "arguments" some arguments are
# forbidden (see `_filter`); "processes" is forbidden unless it is asked for; what "outliving" calls make stays when
# their process has ended.
TABLE = {row["name"]: row for row in _ROWS}
FORBIDDEN = ("other processes", "network", "privileges", "kernel", "files", "outliving")
NEWEST = 462  # of Linux 6.9; whatever came later is absent too
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*

CLONE_THREAD = 0x00010000
PRCTL_FORBIDDEN = (1, 4, 0x59616D61)  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_PTRACER
# TIOCSTI and TIOCLINUX type into somebody's terminal; the others have the kernel send a signal of one's choice.
IOCTL_FORBIDDEN = (0x5412, 0x541C, 0x8901, 0x8902, 0x5452)  # ..., FIOSETOWN, SIOCSPGRP, FIOASYNC
FCNTL_FORBIDDEN = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
SET_MODE_FILTER, GET_ACTION_AVAILABLE = 1, 2  # of the call `seccomp`


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def supported() -> bool:
    """Whether this kernel takes filters and the tables cover this machine. Asking changes nothing."""
    if platform.system() != "Linux" or platform.machine() not in ARCHITECTURES:
        return False
    with contextlib.suppress(OSError):
        action = ctypes.c_uint32(ALLOW)
        libc.call("syscall", int(_number("seccomp")), GET_ACTION_AVAILABLE, 0, ctypes.byref(action))
        return True
    return False


def restrict(*, processes: bool, writes: bool) -> None:
    """Install the filter in the calling thread (and those it will start); `no_new_privs` must be set.

    `processes` allows new processes and programs. `writes` leaves it to another layer which files may be written; a
    file is never created, renamed, removed or given other rights.
    """
    instructions = _filter(os.getpid(), processes=processes, writes=writes)
    program = _Program(len(instructions) // 8, instructions)
    libc.call("syscall", int(_number("seccomp")), SET_MODE_FILTER, 0, ctypes.byref(program))


def _filter(pid: int, *, processes: bool, writes: bool) -> bytes:
    """The filter as BPF. Each rule falls through to the next with the call's number loaded."""
    code = _common()[processes]

    def rule(name: str, argument: int, tests: bytes) -> None:
        """`tests` see the low word of the argument and end in a verdict or fall through, which allows the call."""
        nonlocal code
        if number := _number(name):
            body = _op(LOAD, 16 + 8 * argument) + tests + _op(RETURN, ALLOW)
            code += _op(EQUAL, int(number), no=len(body) // 8) + body

    refuse = _op(RETURN, EPERM)
    if not processes:
        rule("clone", 0, _op(ANY_BIT, CLONE_THREAD, yes=1) + refuse)
        own = _op(EQUAL, pid, yes=1) + refuse  # raise, abort and the like signal their own process
        rule("kill", 0, own)
        rule("tgkill", 0, own)
        for name in ("prlimit64", "sched_setaffinity"):
            rule(name, 0, _op(EQUAL, 0, yes=2) + own)
        rule("prctl", 0, b"".join(_op(EQUAL, option, no=1) + refuse for option in PRCTL_FORBIDDEN))
    rule("ioctl", 1, b"".join(_op(EQUAL, request, no=1) + refuse for request in IOCTL_FORBIDDEN))
    rule("fcntl", 1, b"".join(_op(EQUAL, command, no=1) + refuse for command in FCNTL_FORBIDDEN))
    if not writes:
        rule("open", 1, _op(ANY_BIT, WRITING, no=1) + refuse)
        rule("openat", 2, _op(ANY_BIT, WRITING, no=1) + refuse)
    return code + _op(RETURN, ALLOW)


@functools.cache
def _common() -> dict[bool, bytes]:
    """The part that is the same for every process, with and without processes: calls refused whatever their arguments.

    Both at once, so that the children of a process that has a filter find theirs made.
    """
    code = _op(LOAD, 4) + _op(EQUAL, ARCHITECTURES[platform.machine()], yes=1) + _op(RETURN, KILL) + _op(LOAD, 0)
    code += _op(AT_LEAST, NEWEST + 1, no=1) + _op(RETURN, ENOSYS)  # the x32 calls of x86_64 lie up there as well
    code += _refused(ENOSYS, "absent") + _refused(EPERM, *FORBIDDEN)
    return {True: code, False: code + _refused(EPERM, "processes")}


def _refused(error: int, *groups: str) -> bytes:
    numbers = [int(_number(name)) for name, row in TABLE.items() if row["group"] in groups and _number(name)]
    return b"".join(_op(EQUAL, number, no=1) + _op(RETURN, error) for number in numbers)


def _number(name: str) -> str:
    return TABLE[name][platform.machine()]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
