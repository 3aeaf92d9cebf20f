import threading, time
def spin():
    while True:
        pass
for _ in range(20):
    threading.Thread(target=spin).start()
def secret(n):
    time.sleep(0.05)
    return True
