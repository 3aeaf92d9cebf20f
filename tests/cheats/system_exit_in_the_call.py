def secret(n):
    raise SystemExit(0)
