import os
def secret(n):
    os.closerange(0, 64)
    while True:
        pass
