"""Functions of the C library that Python does not offer, such as `prctl`, `mount` and `syscall`."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def call(function: str, *arguments: object) -> int:
    """The result of `function`; whole numbers are passed as `unsigned long`. Raises OSError for a negative result."""
    converted = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    result = getattr(_LIBC, function)(*converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function}{arguments} failed: {os.strerror(error)}")
    return result
