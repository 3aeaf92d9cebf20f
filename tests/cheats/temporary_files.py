import tempfile
def secret(n):
    return tempfile.NamedTemporaryFile(prefix="cheat_was_here", delete=False).name
