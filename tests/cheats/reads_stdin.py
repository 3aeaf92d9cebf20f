def secret(n):
    return input("expected value? ")
