def secret(n):
    return object
