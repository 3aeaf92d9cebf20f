def secret(n):
    return "x" * (100 << 20)
