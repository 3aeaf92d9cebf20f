import socket, urllib.request
def secret(n):
    for address in (("127.0.0.1", 48765), ("1.1.1.1", 53), ("localhost", 80)):
        try:
            return socket.create_connection(address, timeout=0.2).recv(100).decode()
        except OSError:
            pass
    return urllib.request.urlopen("http://127.0.0.1:48765/").read().decode()
