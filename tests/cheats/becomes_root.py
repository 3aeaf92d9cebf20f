import os
for attempt in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.chroot("/tmp"), lambda: os.setgroups([])):
    try:
        attempt()
    except OSError:
        pass
import ctypes
libc = ctypes.CDLL(None)
libc.unshare(0x10000000)
libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
libc.prctl(1, 0)
libc.prctl(4, 1)
