"""Which files a confined process sees: Landlock rules, or a private root of read-only mounts where there is none."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from bench.grading.sandbox import libc

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# File rights known to each version of Landlock, as a mask: 13 at first, then refer, truncate and ioctl.
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
TCP_RIGHTS = 0b11  # bind and connect, since version 4
SCOPES = 0b11  # abstract sockets of, and signals to, processes outside; since version 6

MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_SETATTR = 2, -100, 0x8000, 1, 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_POINTS = ("/tmp", "/mnt", "/dev")  # what is there is hidden from the process, and only from it


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def landlock_version() -> int:
    """The version of Landlock that this kernel offers; 0 for none."""
    try:
        return libc.call("syscall", LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def landlock(readable: Sequence[str | Path]) -> None:
    """Let this process read what lies under `readable` and write nothing but /dev/null; `no_new_privs` must be set."""
    version = landlock_version()
    handled = FILE_RIGHTS[min(version, max(FILE_RIGHTS))]
    rules = _Ruleset(handled, TCP_RIGHTS if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.call("syscall", LANDLOCK_CREATE_RULESET, ctypes.byref(rules), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, EXECUTE | READ_FILE | (READ_DIR if Path(path).is_dir() else 0))
        _allow(ruleset, os.devnull, READ_FILE | WRITE_FILE)
        libc.call("syscall", LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def map_user(user: int, group: int) -> None:
    """Keep our own user and group ids in a new user namespace; nothing else is mapped."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def private_root(readable: Sequence[str | Path]) -> None:
    """Make a root of nothing but read-only binds of `readable`; needs a mount namespace of our own."""

    def mount(source: str, target: str, kind: str | None, flags: int) -> None:
        libc.call("mount", source.encode(), target.encode(), kind.encode() if kind else None, flags, None)

    root = next(place for place in MOUNT_POINTS if Path(place).is_dir())
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    everything = [str(path) for path in readable] == ["/"]
    if not everything:
        binds = [(os.open(path, os.O_PATH), Path(path)) for path in (*readable, os.devnull)]
        mount("tmpfs", root, "tmpfs", MS_NOSUID)
        for descriptor, path in binds:
            target = Path(root) / path.relative_to("/")
            if not target.exists():  # else it lies in a folder that is bound already
                target.parent.mkdir(parents=True, exist_ok=True)
                target.mkdir() if Path(f"/proc/self/fd/{descriptor}").is_dir() else target.touch()
            mount(f"/proc/self/fd/{descriptor}", str(target), None, MS_BIND | MS_REC)
            os.close(descriptor)
    else:
        mount("/", root, None, MS_BIND | MS_REC)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    libc.call("syscall", MOUNT_SETATTR, AT_FDCWD, root.encode(), AT_RECURSIVE, ctypes.byref(attributes), 32)
    os.chdir(root)
    libc.call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")
    libc.call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def _allow(ruleset: int, path: str | Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(rights, descriptor)
        libc.call("syscall", LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
