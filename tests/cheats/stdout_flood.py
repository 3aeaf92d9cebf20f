def secret(n):
    while True:
        print("x" * 100000)
