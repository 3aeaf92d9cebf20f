def secret(n):
    nested = iter([])
    for _ in range(10 ** 6):
        nested = map(int, nested)
    return next(nested, None)
