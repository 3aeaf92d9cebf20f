def secret(n):
    return sum(range(10 ** 15))
