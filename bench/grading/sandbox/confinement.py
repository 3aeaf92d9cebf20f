"""Confinement of a process that handles what a model wrote: no network, no writable disk, bounded memory.

The layers are those that the host allows: resource limits and `no_new_privs` everywhere, Landlock (kernel 5.13), a
seccomp filter, private network and IPC namespaces, and, where there is no Landlock, a private root made of read-only
mounts or bubblewrap. `isolation()` says which of them hold, as tried out in a process of its own.
"""

import contextlib
import ctypes
import functools
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from bench.grading.sandbox import files, libc, syscalls

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 2, 4, 24, 38
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
MAX_DESCRIPTORS = 64
PROJECT = str(Path(__file__).parents[3])  # the folder that the package `bench` is imported from
DISK_LAYERS = ("landlock", "private root", "bubblewrap")


class UnsafeHostError(RuntimeError):
    """The host offers nothing that keeps a program off the disk or the network."""


def confine(
    *, memory_mb: int, readable: Sequence[str | Path] = ("/",), processes: bool = False, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Confine the calling process for good and return the layers that took hold.

    Afterwards it can read the files under `readable`, write none (but /dev/null), open no socket, gain no privilege,
    start no program or process unless `processes`, and use `memory_mb` of address space. Threads are allowed. Call it
    early, while the process has one thread: the layers hold for the caller and for what it starts later.

    Other processes of the same user cannot read its memory. `without` leaves out "namespaces", "landlock", "private
    root" or "seccomp", to see what the other layers are worth.
    """
    if sys.platform != "linux":
        limit_resources(memory_mb=memory_mb)  # and no more: `require_isolation` refuses such a host
        return ("rlimits",)
    layers = []
    death = ctypes.c_int()
    libc.call("prctl", PR_GET_PDEATHSIG, ctypes.byref(death), 0, 0, 0)
    if "namespaces" not in without:
        layers += _unshare(CLONE_NEWNET | CLONE_NEWIPC, ("network namespace", "ipc namespace"))
    landlock = "landlock" not in without and files.landlock_version() > 0
    if not landlock and "namespaces" not in without and "private root" not in without:
        layers += _private_root(readable)
    limit_resources(memory_mb=memory_mb)
    libc.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    libc.call(
        "prctl", PR_SET_PDEATHSIG, death.value, 0, 0, 0
    )  # the kernel forgets it whenever a process's rights change
    libc.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    if landlock:
        files.landlock(readable)
        layers.append("landlock")
    if "seccomp" not in without and syscalls.supported():
        syscalls.restrict(processes=processes, writes=any(layer in DISK_LAYERS for layer in layers))
        layers.append("seccomp")
    return ("rlimits", "no_new_privs", *layers)


def limit_resources(*, memory_mb: int) -> None:
    """Bound the address space and the descriptors; no core dumps, and no file grows."""
    wanted = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def die_with_parent(parent: int, signal: int = 9) -> None:
    """Have the kernel kill this process when the thread that started it ends; `parent` is that thread's process."""
    if sys.platform == "linux":
        libc.call("prctl", PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:  # it went before we asked
        os._exit(1)


def program_files() -> tuple[Path, ...]:
    """What a Python program needs to read: the standard library, installed packages, shared libraries, time zones."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"}
    places |= {"/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero"}
    return tuple(Path(place) for place in sorted(places) if Path(place).exists())


def bubblewrap() -> tuple[str, ...]:
    """The command that runs another one in bubblewrap with nothing but `program_files` and this project to read."""
    program = shutil.which("bwrap")
    if program is None:
        return ()
    shown = [*map(str, program_files()), PROJECT, sys.prefix, sys.base_prefix]
    return (
        *(program, "--unshare-user-try", "--unshare-net", "--unshare-ipc", "--die-with-parent"),
        *(word for path in dict.fromkeys(shown) for word in ("--ro-bind", path, path)),
        *("--dev", "/dev", "--chdir", "/"),
    )


def isolation() -> str:
    """The layers that hold on this host, for manifests: "rlimits, no_new_privs, landlock, seccomp"; says if unsafe."""
    layers = probe(())
    return ", ".join(layers) + ("" if is_safe(layers) else " (unsafe)")


def require_isolation(*, allow_unsafe: bool, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The layers of this host; raises `UnsafeHostError` where they are too weak, unless that is allowed."""
    layers = probe(without)
    names = ", ".join(layers)
    if not is_safe(layers):
        if not allow_unsafe:
            raise UnsafeHostError(
                f"this host isolates programs by no more than: {names}. Generated programs could write files or reach "
                "the network. Use a Linux kernel with seccomp and Landlock (5.13), allow user namespaces, or install "
                "bubblewrap; where the whole machine is disposable, set grading.allow_unsafe=true "
                "(bench/run.py) or --allow-unsafe (python -m bench.grading)"
            )
        logger.warning("unsafe hosts are allowed: generated programs are isolated by %s only", names)
    return layers


def is_safe(layers: Sequence[str]) -> bool:
    """Whether files and network are out of reach, and a program can start nothing that outlives it."""
    return "seccomp" in layers and any(layer in layers for layer in DISK_LAYERS)


@functools.cache
def probe(without: tuple[str, ...]) -> tuple[str, ...]:
    """The layers that take hold in a child that confines itself; bubblewrap where the others are not enough."""
    layers = _layers_of_child((), without)
    if not set(layers) & set(DISK_LAYERS) and "bubblewrap" not in without and bubblewrap():
        layers = _layers_of_child(bubblewrap(), without) or layers
    logger.info("generated programs run under: %s", ", ".join(layers))
    return layers


def _layers_of_child(prefix: tuple[str, ...], without: tuple[str, ...]) -> tuple[str, ...]:
    code = (
        f"import sys, json; sys.path.append({PROJECT!r}); "
        "from bench.grading.sandbox.confinement import confine, program_files; "
        f"print(json.dumps(confine(memory_mb=1024, readable=program_files(), without={without!r})))"
    )
    command = [*prefix, sys.executable, "-I", "-c", code]
    environment = {"LC_ALL": "C.UTF-8"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    if finished.returncode == 0:
        return (*json.loads(finished.stdout), *(("bubblewrap",) if prefix else ()))
    if prefix:
        logger.info("bubblewrap does not work here: %s", finished.stderr.strip()[-300:])
        return ()
    raise RuntimeError(f"a process that confines itself fails:\n{finished.stderr.strip()[-2000:]}")


def _unshare(flags: int, names: tuple[str, ...]) -> list[str]:
    """Leave the host's namespaces, as root or through a user namespace; nothing happens where that is forbidden."""
    with contextlib.suppress(OSError):
        libc.call("unshare", flags)
        return list(names)
    user, group = os.getuid(), os.getgid()
    try:
        libc.call("unshare", flags | CLONE_NEWUSER)
    except OSError:
        return []
    with contextlib.suppress(OSError):  # AppArmor may forbid this step alone; files still know us by our real ids
        files.map_user(user, group)
    return ["user namespace", *names]


def _private_root(readable: Sequence[str | Path]) -> list[str]:
    if not _unshare(CLONE_NEWNS, ("mount namespace",)):
        return []
    try:
        files.private_root(readable)
    except OSError as error:  # a kernel before 5.12, or one that forbids mounts
        logger.info("no private root: %s", error)
        return []
    return ["private root"]


def _drop_capabilities() -> None:
    """Root without capabilities is the owner of root's files and no more."""
    with contextlib.suppress(OSError):  # past the last one, or not ours to drop
        for capability in range(64):
            libc.call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if (machine := os.uname().machine) in CAPSET:
        libc.call("syscall", CAPSET[machine], header, none)
