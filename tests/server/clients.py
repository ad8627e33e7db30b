"""Clients that no browser would be: slow, silent, deaf."""

from __future__ import annotations

import socket

HOST = b"Host: localhost\r\n"


class Client:
    """A connection that sends bytes as they are. `deaf`: it takes next to nothing of an answer that it does not read."""

    def __init__(self, port: int, sends: bytes = b"", deaf: bool = False):
        self.sock = socket.socket()
        if deaf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.sock.settimeout(60)
        self.sock.connect(("127.0.0.1", port))
        self.file = self.sock.makefile("rb")
        self.send(sends)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def is_open(self) -> bool:
        """Whether the server keeps the connection; what it has answered is not read."""
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(60)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of the next answer that says its length, or ends with the connection."""
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.file.readline().strip().decode("latin-1"):
            name, _, value = line.partition(": ")
            headers[name] = value
        body = b"" if status in (100, 204) else self.file.read(int(headers.get("Content-Length", -1)))
        return status, headers, body

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        return self.file.read()

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def get(path: str, *headers: str) -> bytes:
    """A GET that ends the connection."""
    lines = "".join(f"{line}\r\n" for line in ("Host: localhost", "Connection: close", *headers))
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
