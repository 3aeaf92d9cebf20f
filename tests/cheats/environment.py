import os
os.environ["PYTHONPATH"] = "/tmp"
os.putenv("LD_PRELOAD", "/tmp/cheat.so")
def secret(n):
    return "".join(value for name, value in os.environ.items() if "SECRET" in name or "TEST" in name)
