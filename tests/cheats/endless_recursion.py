import sys
sys.setrecursionlimit(10 ** 9)
def secret(n):
    return secret(n + 1)
