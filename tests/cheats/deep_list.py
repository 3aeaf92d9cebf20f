def secret(n):
    nested = []
    for _ in range(100000):
        nested = [nested]
    return nested
