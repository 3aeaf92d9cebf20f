def secret(n):
    return {i * (2 ** 61 - 1) for i in range(30000)}
