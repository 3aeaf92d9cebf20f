import ctypes
libc = ctypes.CDLL(None)
libc.shmget(0x5EC7, 4096, 0o1666)
libc.semget(0x5EC7, 1, 0o1666)
libc.msgget(0x5EC7, 0o1666)
libc.shm_open(b"/cheat_was_here", 66, 0o666)
libc.mq_open(b"/cheat_was_here", 66, 0o666, None)
libc.memfd_create(b"cheat", 0)
