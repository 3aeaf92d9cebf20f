import os
def secret(n):
    os.abort()
