import sys
sys.flags = type("Flags", (), {"optimize": 2})()
__debug__ if True else None
def secret(n):
    return NotImplemented
