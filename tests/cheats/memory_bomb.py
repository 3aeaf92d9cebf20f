def secret(n):
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))
