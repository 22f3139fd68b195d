"""Whether the peer of a connection is still there: asked, and answered within two seconds.

The kernel can be made to send a keepalive probe; the peer's kernel acknowledges it even when its
program sleeps. So a link that is dead (another network, a cable, a phone that sleeps) is told from
one that is quiet.

Counterpart: `connection.py`, whose links are asked when their owner logs in again.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Final

WAIT_S: Final = 2.0
LOOK_S: Final = 0.02
UNACKED_OFFSET: Final = 24
LAST_ACK_OFFSET: Final = 56
"""Of tcpi_unacked (u32) and tcpi_last_ack_recv (u32, ms ago) in the kernel's tcp_info."""
PROBED: Final = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1}


async def answers(sock: socket.socket) -> bool:
    """True when the peer's kernel acknowledges anything within WAIT_S, or cannot be asked.

    Who keeps its window closed is there, too: it reads slowly, and that has a limit of its own.
    """
    loop = asyncio.get_running_loop()
    try:
        before = {name: sock.getsockopt(socket.IPPROTO_TCP, _option(name)) for name in PROBED}
        _set(sock, PROBED)
    except (OSError, AttributeError):
        return True
    began = loop.time()
    try:
        while (waited := loop.time() - began) < WAIT_S:
            await asyncio.sleep(LOOK_S)
            ago = _read(sock, LAST_ACK_OFFSET)
            if ago is None or ago / 1000 < waited:
                return True
        return _is_full(sock)
    except OSError:
        return False  # closed meanwhile
    finally:
        with contextlib.suppress(OSError):
            _set(sock, before)


def _option(name: str) -> int:
    return int(getattr(socket, name))


def _set(sock: socket.socket, options: dict[str, int]) -> None:
    for name, value in options.items():
        sock.setsockopt(socket.IPPROTO_TCP, _option(name), value)


def _read(sock: socket.socket, offset: int) -> int | None:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, offset + 4)
    return int(struct.unpack_from("=I", info, offset)[0]) if len(info) >= offset + 4 else None


def _is_full(sock: socket.socket) -> bool:
    """Does something wait that may not be sent, as the peer has no room for it?"""
    (queued,) = struct.unpack("=i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    return bool(queued) and _read(sock, UNACKED_OFFSET) == 0
