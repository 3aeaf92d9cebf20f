def secret(n):
    return [[]] * (1 << 22)
