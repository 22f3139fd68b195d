"""Peers on bare sockets, which say and read exactly what a test wants."""

import base64
import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import ClassVar

from polypaint import _codec
from polypaint.paint import packets

from .processes import Process
from .world import DATE


class Raw:
    """A TCP connection of bytes, with a timeout on everything."""

    def __init__(self, address: str, buffer: int | None = None) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(15)
        self.socket.connect((host, int(port)))
        self.decoder = _codec.FrameDecoder()
        self.packets: list[bytes] = []
        self.name = b""
        Raw.all.append(self)

    all: ClassVar[list["Raw"]] = []

    def send(self, kind, *values) -> "Raw":
        self.socket.sendall(kind.encode_request(DATE, self.name, *values))
        return self

    def next(self, kind=None) -> bytes:
        """The next packet (of this type); b"" at the end."""
        while True:
            while self.packets:
                packet = self.packets.pop(0)
                if kind is None or packet[2] == kind.id:
                    return packet
            data = self.socket.recv(1 << 16)
            if not data:
                return b""
            self.packets += self.decoder.feed(data)

    def login(self, name: str, *, new: bool = True) -> "Raw":
        self.name = name.encode()
        if new:
            self.send(packets.CREATE_ACCOUNT, "pw")
        self.send(packets.CONNECTION, "pw")
        assert packets.decode(self.next(packets.CONNECTION), True) == (0,)
        return self

    def at_end(self) -> bool:
        """Has the server closed the connection?"""
        with contextlib.suppress(ConnectionError):
            while self.next():
                pass
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Frames:
    """A WebSocket on a bare socket, which reads when it is told to and checks every frame."""

    def __init__(self, process, name, buffer=4096):
        host, port = process.web.removeprefix("http://").split(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((host, int(port)))
        self.socket.sendall(
            b"GET /ws/paint HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.name = name
        self.data = b""
        self.pongs = 0
        self.packets = []
        while b"\r\n\r\n" not in self.data:
            self.data += self.socket.recv(100)
        self.data = self.data.partition(b"\r\n\r\n")[2]
        self.send(packets.CREATE_ACCOUNT, "pw").send(packets.CONNECTION, "pw")

    def frame(self, opcode, data):
        size = (
            bytes([0x80 | len(data)])
            if len(data) < 126
            else b"\xfe" + struct.pack(">H", len(data))
        )
        self.socket.sendall(bytes([0x80 | opcode]) + size + bytes(4) + data)

    def send(self, kind, *values):
        self.frame(2, kind.encode_request(DATE, self.name, *values))
        return self

    def read(self, limit):
        """At most so many bytes."""
        self.data += self.socket.recv(limit)
        while len(self.data) >= 4:
            size, at = self.data[1], 2
            if size == 126:
                size, at = struct.unpack_from(">H", self.data, 2)[0], 4
            if len(self.data) < at + size:
                return
            opcode, payload = self.data[0], self.data[at : at + size]
            self.data = self.data[at + size :]
            assert opcode in (0x82, 0x8A), "the stream is out of step"
            if opcode == 0x8A:
                self.pongs += 1
            else:
                assert len(_codec.split(payload)) == 1
                self.packets.append(payload)


def memory(process: Process) -> int:
    """Resident bytes."""
    assert process.child is not None
    pages = Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


class Browser:
    """An HTTP connection on a bare socket."""

    def __init__(self, web: str, buffer: int | None = None) -> None:
        host, port = web.removeprefix("http://").split(":")
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(15)
        self.socket.connect((host, int(port)))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> "Browser":
        self.socket.sendall(data)
        return self

    def again(self) -> None:
        """Connect once more."""
        address = self.socket.getpeername()
        self.__exit__()
        self.socket = socket.create_connection(address, 15)
        self.file = self.socket.makefile("rb")

    def get(self, path: str, *headers: str) -> "Browser":
        return self.send(
            "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()
        )

    def flood(self, part: bytes, most: int = 2 << 20) -> int:
        """Send this again and again, at most so many bytes; how many the server took."""
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < most:
                self.socket.sendall(part)
                sent += len(part)
        return sent

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers, body. Status 0: the connection is closed."""
        try:
            line = self.file.readline()
        except ConnectionError:
            return 0, {}, b""
        if not line:
            return 0, {}, b""
        headers = {}
        while (header := self.file.readline().decode()) not in ("\r\n", ""):
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", 0)))
        return int(line.split()[1]), headers, body


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
