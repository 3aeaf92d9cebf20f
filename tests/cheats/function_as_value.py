def secret(n):
    return secret
