"""A third service is one folder and one line: `tests/echo`, run by the server that ships.

Over its endpoint, the rules of RFC 6455 as a peer that speaks in raw frames sees them; and the
conformance suite of Autobahn, where there is a Python that it runs on.
"""

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from polypaint.engine.service import Carriers
from polypaint.runtime.server import Server
from polypaint.runtime.services import SERVICES
from polypaint.settings import load

from . import echo
from .echo.effects import Remarked
from .echo.service import REMARKABLE, EchoService
from .processes import http

SUITE = os.environ.get("POLYPAINT_WSTEST") or shutil.which("wstest")
NO_SUITE = (
    "needs Autobahn's test suite, which runs on Python 2.7 only: `python2.7 -m pip install "
    "virtualenv`, `python2.7 -m virtualenv DIR`, `DIR/bin/pip install autobahntestsuite`, then "
    "POLYPAINT_WSTEST=DIR/bin/wstest"
)
TEXTS = [
    *("1.1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *("9.1.*", "9.5.*", "9.7.1", "9.7.2", "9.7.3"),
]
BINARIES = ["1.2.*", "9.2.*", "9.6.*", "9.8.1", "9.8.2", "9.8.3"]
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}
EXCEPTIONS = {"7.1.5"}
"""A close frame within a fragmented message: `websockets` answers it with 1002, the suite wants
1000, and RFC 6455 leaves it open."""


@asynccontextmanager
async def echoing(data: Path, text: bool = True) -> AsyncIterator[tuple[Server, EchoService]]:
    """A server with an echo beside its own services."""
    ports = dict.fromkeys(("paint_port", "matches_port", "tanks_port", "web_port"), 0)
    server = Server(
        load({**ports, "bcrypt_rounds": 4, "data": data}),
        (*SERVICES, partial(echo.make, text=text)),
    )
    await server.start()
    try:
        yield server, server.service(EchoService)
    finally:
        await server.stop()


def url_of(server: Server) -> str:
    return f"{server.addresses['web'].replace('http', 'ws')}/ws/echo"


# ---------------------------------------------------------------- the contract
async def test_a_service_more(tmp_path: Path) -> None:
    """It is reached over TCP and WebSocket, counted, restored, and has a route of its own."""
    async with echoing(tmp_path) as (server, service):
        assert service.address == server.addresses["echo"]
        reader, writer = await asyncio.open_connection(*server.addresses["echo"].split(":"))
        writer.write(REMARKABLE)
        assert await reader.readexactly(6) == REMARKABLE
        writer.close()
        await writer.wait_closed()
        async with connect_websocket(url_of(server)) as sock:
            for text in ("", "é\n", "x" * 100_000):
                await sock.send(text)
                assert await sock.recv() == text
        assert service.remarks == [REMARKABLE]
        assert service.counters == {"messages": 4}
        page = await asyncio.to_thread(http, server.addresses["web"] + "/metrics")
        assert b"\npolypaint_echo_messages_total 4.0\n" in page[1]
        assert b"\npolypaint_echo_total 4.0\n" in page[1]
    async with echoing(tmp_path) as (server, service):
        assert service.counters == {"messages": 0}
        assert (await asyncio.to_thread(http, server.addresses["web"] + "/echo"))[1] == b"4"


async def test_effects_that_nobody_carries_out_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Carriers, "include", lambda self, others: None)
    with pytest.raises(TypeError, match=r"LoadCanvas.*nobody carries out|nobody.*LoadCanvas"):
        Server(load({"data": tmp_path}))


def test_an_effect_has_one_carrier() -> None:
    carriers = Carriers().register(Remarked, lambda effect: None)
    with pytest.raises(TypeError, match="Remarked is carried out twice"):
        carriers.include(Carriers().register(Remarked, lambda effect: None))


# ---------------------------------------------------------------- RFC 6455
class Wire:
    """A WebSocket whose frames a test writes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, server: Server) -> "AsyncIterator[Wire]":
        host = server.addresses["web"].removeprefix("http://")
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(
            f"GET /ws/echo HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"101 Switching Protocols" in head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def send(self, opcode: Opcode, data: bytes = b"", fin: bool = True) -> "Wire":
        return self.write(Frame(opcode, data, fin).serialize(mask=True))

    def write(self, data: bytes) -> "Wire":
        self._writer.write(data)
        return self

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: (opcode, payload)."""
        async with asyncio.timeout(10):
            first, length = await self._reader.readexactly(2)
            assert first & 0xF0 == 0x80, (
                "a server's frames here are whole and have no reserved bit"
            )
            if length == 126:
                (length,) = struct.unpack(">H", await self._reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self._reader.readexactly(8))
            return first & 15, await self._reader.readexactly(length)

    async def closed(self) -> int:
        """The code with which the server closes; nothing else comes before or after."""
        opcode, data = await self.frame()
        assert opcode == Opcode.CLOSE, data
        async with asyncio.timeout(10):
            assert await self._reader.read() == b""
        return int.from_bytes(data[:2], "big") if data else 0


async def test_fragments_with_control_frames_in_between(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (server, _), Wire.to(server) as wire:
        wire.send(Opcode.TEXT, b"a", fin=False).send(Opcode.PING, b"here").send(
            Opcode.CONT, b"", fin=False
        )
        assert await wire.frame() == (Opcode.PONG, b"here")
        wire.send(Opcode.PONG, b"nobody asked").send(Opcode.CONT, b"b")
        assert await wire.frame() == (Opcode.TEXT, b"ab")
        wire.send(Opcode.PING, bytes(125))
        assert await wire.frame() == (Opcode.PONG, bytes(125))
        for byte in Frame(Opcode.TEXT, b"slowly").serialize(mask=True):
            wire.write(bytes([byte]))
        assert await wire.frame() == (Opcode.TEXT, b"slowly")


@pytest.mark.parametrize(
    "frames",
    [
        [(Opcode.CONT, b"x", True, 0)],
        [(Opcode.TEXT, b"x", False, 0), (Opcode.TEXT, b"y", True, 0)],
        [(Opcode.TEXT, b"x", True, 4)],
        [(Opcode.PING, b"x", True, 1)],
        [(3, b"", True, 0)],
        [(11, b"", True, 0)],
        [(Opcode.PING, b"", False, 0)],
        [(Opcode.PING, bytes(126), True, 0)],
        [(Opcode.CLOSE, b"x", True, 0)],
        *(
            [(Opcode.CLOSE, struct.pack(">H", code), True, 0)]
            for code in (0, 999, 1004, 1005, 1006)
        ),
        *([(Opcode.CLOSE, struct.pack(">H", code), True, 0)] for code in (1016, 1100, 2999, 5000)),
    ],
    ids=lambda frames: " ".join(f"{op}:{data[:2].hex()}" for op, data, _, _ in frames),
)
async def test_what_is_no_websocket_is_closed_with_1002(
    tmp_path: Path, frames: list[tuple[int, bytes, bool, int]]
) -> None:
    async with echoing(tmp_path) as (server, service), Wire.to(server) as wire:
        for opcode, data, fin, rsv in frames:
            raw = bytearray(Frame(Opcode.TEXT, data).serialize(mask=True))
            raw[0] = fin << 7 | rsv << 4 | opcode
            wire.write(bytes(raw))
        assert await wire.closed() == 1002
        assert service.total == 0


CLOSES = [
    *((struct.pack(">H", c) + "é".encode(), c) for c in (1000, 1001, 1002, 1003, 1007, 1011)),
    *((struct.pack(">H", c), c) for c in (3000, 3999, 4000, 4999)),
    (b"", 0),
    (struct.pack(">H", 1000) + b"\xff", 1007),
]


@pytest.mark.parametrize(("data", "code"), CLOSES, ids=lambda value: repr(value))
async def test_a_close_is_answered_with_its_code(tmp_path: Path, data: bytes, code: int) -> None:
    async with echoing(tmp_path) as (server, service), Wire.to(server) as wire:
        wire.send(Opcode.CLOSE, data).send(Opcode.TEXT, b"too late")
        assert await wire.closed() == code
        assert service.total == 0


@pytest.mark.parametrize(
    "parts",
    [
        [b"\xff"],
        [b"\xed\xa0\x80"],
        [b"\xf4\x90\x80\x80"],
        [b"\xc0\xaf"],
        [b"\xce\xba\xe1\xbd", b"\xb9\xcf"],
        [b"ok", b"\xf8\x88", b""],
    ],
    ids=lambda parts: b"|".join(parts).hex(),
)
async def test_text_that_is_not_utf_8(tmp_path: Path, parts: list[bytes]) -> None:
    async with echoing(tmp_path) as (server, service), Wire.to(server) as wire:
        for i, part in enumerate(parts):
            wire.send(Opcode.CONT if i else Opcode.TEXT, part, fin=i == len(parts) - 1)
        assert await wire.closed() == 1007
        assert service.total == 0


async def test_utf_8_cut_within_a_character(tmp_path: Path) -> None:
    text = "κόσμε 🎨 \ud7ff \ue000 \U0010ffff \0".encode()
    async with echoing(tmp_path) as (server, _), Wire.to(server) as wire:
        for i in range(len(text)):
            part = text[i : i + 1]
            wire.send(Opcode.CONT if i else Opcode.TEXT, part, fin=i == len(text) - 1)
        assert await wire.frame() == (Opcode.TEXT, text)


async def test_messages_of_all_lengths_and_one_too_long(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (server, _):
        sock: ClientConnection
        async with connect_websocket(url_of(server), max_size=None) as sock:
            for length in (0, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20):
                await sock.send("*" * length)
                assert await sock.recv() == "*" * length
            await sock.send("*" * (18 << 20))
            with pytest.raises(ConnectionClosed) as closed:
                await sock.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009


# ---------------------------------------------------------------- Autobahn
@pytest.mark.skipif(SUITE is None, reason=NO_SUITE)
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("text", "cases"), [(True, TEXTS), (False, BINARIES)], ids=["text", "binary"]
)
async def test_autobahn(tmp_path: Path, text: bool, cases: list[str]) -> None:
    """Left out: many thousand fragments a message (we take 256), and compression."""
    assert SUITE is not None
    async with echoing(tmp_path / "data", text) as (server, _):
        spec = {
            "outdir": str(tmp_path / "reports"),
            "servers": [{"agent": "polypaint", "url": url_of(server)}],
            "cases": cases,
            "exclude-cases": [],
        }
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        arguments = [*shlex.split(SUITE), "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
        child = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await child.communicate()
        assert child.returncode == 0, said.decode()[-3000:]
    found = json.loads((tmp_path / "reports/index.json").read_text())["polypaint"]
    for case in EXCEPTIONS:
        found.pop(case, None)
    assert len(found) >= 10, "it has run"
    wrong = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in found.items()
        if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD
    }
    assert not wrong
