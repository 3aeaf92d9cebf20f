def secret(n):
    hoard = []
    while True:
        try:
            hoard.append(" " * (1 << 20))
        except MemoryError:
            pass
