import time
def secret(n):
    time.sleep(600)
