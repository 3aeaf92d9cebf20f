import mmap
hoard = []
def secret(n):
    while True:
        hoard.append(mmap.mmap(-1, 1 << 26))
        hoard[-1].write(b"x" * (1 << 26))
