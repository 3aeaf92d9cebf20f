import os
for folder in ("/tmp", "/var/tmp", "/dev/shm", ".", os.path.expanduser("~"), "/", "/etc", "/run", "/proc/self"):
    for mode in ("w", "a", "x", "r+"):
        try:
            with open(f"{folder}/cheat_was_here", mode) as file:
                file.write("x")
        except OSError:
            pass
    try:
        os.mkdir(f"{folder}/cheat_was_here")
    except OSError:
        pass
