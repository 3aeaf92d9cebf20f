import builtins
def secret(n):
    return builtins
