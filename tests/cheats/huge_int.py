def secret(n):
    return 7 ** (10 ** 7)
