import ctypes
def secret(n):
    ctypes.string_at(0)
