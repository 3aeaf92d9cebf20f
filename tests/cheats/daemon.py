import os, time
def secret(n):
    for make in (os.fork, os.forkpty):
        try:
            if make()[0] if make is os.forkpty else make() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(600)
        except OSError:
            pass
    return None
