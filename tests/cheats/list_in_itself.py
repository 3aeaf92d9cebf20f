def secret(n):
    loop = []
    loop.append(loop)
    return loop
