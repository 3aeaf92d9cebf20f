def secret(n):
    return "__import__('os').system('touch /tmp/cheat_was_here')"
