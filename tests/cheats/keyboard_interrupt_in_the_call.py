def secret(n):
    raise KeyboardInterrupt
