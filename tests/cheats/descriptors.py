import os
hoard = []
def secret(n):
    while True:
        hoard.append(os.dup(0))
