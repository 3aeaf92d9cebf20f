import os, signal
def secret(n):
    os.kill(os.getpid(), signal.SIGSTOP)
