import os
def secret(n):
    os._exit(0)
