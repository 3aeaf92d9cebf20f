"""A seccomp filter: which system calls a confined process may not make.

Forbidden calls fail with EPERM, so that a program sees an ordinary `PermissionError`; calls newer than this table fail
with ENOSYS, as on an older kernel. The numbers are those of the kernel's own tables for x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct

# name:x86_64:aarch64, "-" where the architecture has no such call
PROCESSES = "fork:57:- vfork:58:- execve:59:221 execveat:322:281 setpgid:109:154 setsid:112:157"
OTHER_PROCESSES = """
    ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271 process_madvise:440:440 process_mrelease:448:448
    kcmp:312:272 pidfd_open:434:434 pidfd_getfd:438:438 pidfd_send_signal:424:424 rt_sigqueueinfo:129:138
    rt_tgsigqueueinfo:297:240 tkill:200:130 setpriority:141:140 sched_setscheduler:144:119 sched_setattr:314:274
    sched_setparam:142:118 ioprio_set:251:30 migrate_pages:256:238 move_pages:279:239"""
NETWORK = "socket:41:198 connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242"
PRIVILEGES = """
    setuid:105:146 setgid:106:144 setreuid:113:145 setregid:114:143 setresuid:117:147 setresgid:119:149
    setgroups:116:159 setfsuid:122:151 setfsgid:123:152 capset:126:91 unshare:272:97 setns:308:268 chroot:161:51
    pivot_root:155:41 mount:165:40 umount2:166:39 mount_setattr:442:442 move_mount:429:429 open_tree:428:428
    fsopen:430:430 fsmount:432:432 fsconfig:431:431 fspick:433:433 personality:135:92"""
KERNEL = """
    bpf:321:280 perf_event_open:298:241 userfaultfd:323:282 io_uring_setup:425:425 io_uring_enter:426:426
    io_uring_register:427:427 keyctl:250:219 add_key:248:217 request_key:249:218 init_module:175:105
    finit_module:313:273 delete_module:176:106 kexec_load:246:104 kexec_file_load:320:294 reboot:169:142
    swapon:167:224 swapoff:168:225 acct:163:89 quotactl:179:60 quotactl_fd:443:443 syslog:103:116 iopl:172:-
    ioperm:173:- modify_ldt:154:- settimeofday:164:170 clock_settime:227:112 clock_adjtime:305:266 adjtimex:159:171
    sethostname:170:161 setdomainname:171:162 vhangup:153:58 name_to_handle_at:303:264 open_by_handle_at:304:265
    lookup_dcookie:212:18 fanotify_init:300:262 fanotify_mark:301:263 uselib:134:- nfsservctl:180:42"""
FILES = """
    chmod:90:- fchmod:91:52 fchmodat:268:53 chown:92:- fchown:93:55 lchown:94:- fchownat:260:54 truncate:76:45
    ftruncate:77:46 creat:85:- mknod:133:- mknodat:259:33 mkdir:83:- mkdirat:258:34 rmdir:84:- unlink:87:-
    unlinkat:263:35 rename:82:- renameat:264:38 renameat2:316:276 link:86:- linkat:265:37 symlink:88:-
    symlinkat:266:36 utime:132:- utimes:235:- utimensat:280:88 futimesat:261:- setxattr:188:5 lsetxattr:189:6
    fsetxattr:190:7 removexattr:197:14 lremovexattr:198:15 fremovexattr:199:16 flock:73:32 fallocate:285:47
    sync:162:81 syncfs:306:267"""
LEFTOVERS = """
    shmget:29:194 shmat:30:196 shmctl:31:195 msgget:68:186 msgsnd:69:189 msgrcv:70:188 msgctl:71:187 semget:64:190
    semop:65:193 semctl:66:191 semtimedop:220:192 mq_open:240:180 mq_unlink:241:181 mq_timedsend:242:182
    mq_timedreceive:243:183 mq_notify:244:184 memfd_create:319:279 memfd_secret:447:447"""  # these outlive a process
ALWAYS = (OTHER_PROCESSES, NETWORK, PRIVILEGES, KERNEL, FILES, LEFTOVERS)
ABSENT = "clone3:435:435 openat2:437:437"  # ENOSYS: libc falls back to calls whose arguments a filter can see
NEWEST = 462  # of Linux 6.9; whatever came later is absent too

CALLS = {
    "clone": (56, 220),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "sched_setaffinity": (203, 122),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "open": (2, None),
    "openat": (257, 56),
    "seccomp": (317, 277),
}
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the tables, AUDIT_ARCH_*

CLONE_THREAD = 0x00010000
PRCTL_FORBIDDEN = (1, 4, 0x59616D61)  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_PTRACER
# TIOCSTI and TIOCLINUX type into somebody's terminal; the others have the kernel send a signal of one's choice.
IOCTL_FORBIDDEN = (0x5412, 0x541C, 0x8901, 0x8902, 0x5452)  # ..., FIOSETOWN, SIOCSPGRP, FIOASYNC
FCNTL_FORBIDDEN = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
SECCOMP_SET_MODE_FILTER = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def supported() -> bool:
    """Whether this kernel takes filters and the tables cover this machine. Asking changes nothing."""
    if platform.system() != "Linux" or platform.machine() not in ARCHITECTURES:
        return False
    get_action_available, allow = 2, ctypes.c_uint32(ALLOW)
    return ctypes.CDLL(None).syscall(_number("seccomp"), get_action_available, 0, ctypes.byref(allow)) == 0


def restrict(*, processes: bool, writes: bool) -> None:
    """Install the filter in the calling thread (and those it will start); `no_new_privs` must be set.

    `processes` allows new processes and programs. `writes` leaves it to another layer which files may be written; a
    file is never created, renamed, removed or given other rights.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = _filter(os.getpid(), processes=processes, writes=writes)
    program = _Program(len(instructions) // 8, instructions)
    if libc.syscall(_number("seccomp"), SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refused the seccomp filter")


def _number(name: str) -> int:
    number = CALLS[name][ARCHITECTURES[platform.machine()][0]]
    assert number is not None, f"{platform.machine()} has no {name}"
    return number


def _filter(pid: int, *, processes: bool, writes: bool) -> bytes:
    """The filter as BPF. Each rule falls through to the next with the call's number loaded."""
    column = ARCHITECTURES[platform.machine()][0]
    code = _common(processes)

    def rule(name: str, argument: int, tests: bytes) -> None:
        """`tests` see the low word of the argument and end in a verdict or fall through, which allows the call."""
        nonlocal code
        number = CALLS[name][column]
        if number is not None:
            body = _op(LOAD, 16 + 8 * argument) + tests + _op(RETURN, ALLOW)
            code += _op(EQUAL, number, no=len(body) // 8) + body

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
def _common(processes: bool) -> bytes:
    """The part of the filter that is the same for every process: calls that are refused whatever their arguments."""
    column, architecture = ARCHITECTURES[platform.machine()]
    code = _op(LOAD, 4) + _op(EQUAL, architecture, yes=1) + _op(RETURN, KILL) + _op(LOAD, 0)
    code += _op(AT_LEAST, NEWEST + 1, no=1) + _op(RETURN, ENOSYS)  # the x32 calls of x86_64 lie up there as well
    for number in _numbers(ABSENT, column):
        code += _op(EQUAL, number, no=1) + _op(RETURN, ENOSYS)
    for group in (*ALWAYS, *(() if processes else (PROCESSES,))):
        for number in _numbers(group, column):
            code += _op(EQUAL, number, no=1) + _op(RETURN, EPERM)
    return code


def _numbers(group: str, column: int) -> list[int]:
    columns = [entry.split(":")[1 + column] for entry in group.split()]
    return [int(number) for number in columns if number != "-"]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
