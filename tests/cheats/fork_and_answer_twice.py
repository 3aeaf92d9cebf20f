import os
if os.fork() == 0:
    while True:
        pass
def secret(n):
    return None
