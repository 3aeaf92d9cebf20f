def secret(n):
    while True:
        yield n
