import ctypes
libc = ctypes.CDLL(None)
libc.syscall(57)
libc.syscall(58)
libc.syscall(56, 17, 0, 0, 0, 0)
libc.syscall(0x40000000 + 57)
libc.vfork()
