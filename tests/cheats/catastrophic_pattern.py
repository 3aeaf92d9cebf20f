import re
def secret(n):
    return bool(re.match(r"(a+)+$", "a" * 60 + "b"))
