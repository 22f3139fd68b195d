"""TCP: peers that vanish, leave half, or read slowly."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from polypaint.net import connection as connection
from polypaint.paint import packets

from .conftest import serving
from .peers import Raw
from .processes import Process
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


async def test_the_kernel_notices_a_peer_that_has_vanished(tmp_path):
    async with serving(tmp_path) as server:
        with Raw(server.addresses["paint"]):
            while not server._links:
                await asyncio.sleep(0)
            sock = next(iter(server._links.values()))._socket

            def option(name: str) -> int:
                return int(sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)))

            assert option("TCP_USER_TIMEOUT") <= 30_000
            idle, interval, count = (
                option(f"TCP_KEEP{name}") for name in ("IDLE", "INTVL", "CNT")
            )
            assert idle + interval * count <= 30
    async with serving(tmp_path, slow_seconds=90) as server:
        with Raw(server.addresses["paint"]):
            while not server._links:
                await asyncio.sleep(0)
            sock = next(iter(server._links.values()))._socket
            # the kernel cannot tell a slow reader from a peer that is gone: the setting holds
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 85_000


def fill(process: Process, reader: Raw) -> None:
    """Put more before a member of the lobby `d` than sockets hold."""
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    for x in range(150):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * 8000)
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    reader.send(packets.LOBBY_CONNECT, lobby("d"))


def test_who_leaves_half_and_reads_nothing_frees_the_name(tmp_path, monkeypatch):
    process = Process(tmp_path).start()
    half = Raw(process.paint, buffer=4096).login("half")
    fill(process, half)
    half.next(packets.LOBBY_FREEZE_STATE)
    half.socket.shutdown(socket.SHUT_WR)
    began = time.monotonic()
    while True:
        again = Raw(process.paint)
        again.name = b"half"
        with contextlib.suppress(ConnectionError):
            again.send(packets.CONNECTION, "pw")
            answer = again.next(packets.CONNECTION)
            if answer and packets.decode(answer, True) == (0,):
                break
        assert time.monotonic() - began < 4 * connection.CLOSE_S
        time.sleep(0.3)
    assert process.stop() == 0


def test_a_slow_but_steady_reader_is_not_closed(tmp_path):
    """What it has not taken never gets less than the transport wants, but it takes it."""
    process = Process(tmp_path, "--slow-seconds", "2").start()
    slow = Raw(process.paint, buffer=4096).login("slow")
    fill(process, slow)
    for _ in range(300):  # twelve times as long as a reader may take nothing
        assert slow.socket.recv(1000)
        time.sleep(0.02)
    assert b"polypaint_evicted_total 0.0" in process.get("/metrics")[1]
    assert process.stop() == 0


NETWORK = """
set -e
ip netns add {name}
ip link add {name}a type veth peer name {name}b
ip link set {name}b netns {name}
ip addr add 10.213.{net}.1/30 dev {name}a
ip link set {name}a up
ip netns exec {name} ip addr add 10.213.{net}.2/30 dev {name}b
ip netns exec {name} ip link set {name}b up
"""
CLIENT = """
import socket, sys, time
sock = socket.create_connection((sys.argv[3], int(sys.argv[1])), 10)
sock.sendall(bytes.fromhex(sys.argv[2]))
received = b""
while len(received) < 36:
    received += sock.recv(100)
print("in", flush=True)
time.sleep(120)
"""


@pytest.fixture
def network():
    """Another network namespace, behind a cable: its name, and our end's address."""
    if os.geteuid():
        pytest.skip("needs root, to make a network namespace")
    if shutil.which("ip") is None:
        missing = "needs `ip`: install iproute2"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    name, net = f"pp{os.getpid() % 10_000}", os.getpid() % 250
    script = NETWORK.format(name=name, net=net)
    made = subprocess.run(["sh", "-c", script], capture_output=True)
    if made.returncode:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        missing = f"this machine makes no network namespace: {made.stderr.decode()}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    yield name, f"10.213.{net}.1"
    subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def beside(process: Process) -> Raw:
    """Somebody in the lobby of whoever is far away, who has its canvas."""
    near = Raw(process.paint).login("near")
    near.send(packets.LOBBY_CONNECT, lobby("d"))
    near.next(packets.LOBBY_FREEZE_STATE)
    near.next(packets.LOBBY_FREEZE_STATE)
    return near


@pytest.mark.parametrize("idle", [True, False])
def test_who_vanishes_frees_the_name_within_half_a_minute(tmp_path, network, idle):
    """Their cable is pulled, while nothing is sent to them or while something is."""
    name, address = network
    process = Process(tmp_path, "--host", address).start()
    with far_away(process, name, address):
        near = beside(process)
        subprocess.run(
            ["ip", "netns", "exec", name, "ip", "link", "set", f"{name}b", "down"], check=True
        )
        began = time.monotonic()
        if not idle:
            near.send(packets.ADD_STROKE, 0, RED, 1, 1, [[1, 1]])
        while b"polypaint_logged_in 1.0" not in metrics(process):
            assert time.monotonic() - began < 33
            time.sleep(0.5)
    assert process.stop() == 0


@pytest.mark.parametrize("idle", [True, False])
def test_who_comes_back_from_another_network_is_in_at_the_first_attempt(tmp_path, network, idle):
    """The old connection's cable is pulled: it is asked, does not answer, and has to go."""
    name, address = network
    process = Process(tmp_path, "--host", address).start()
    with far_away(process, name, address):
        near = beside(process)
        again = Raw(process.paint)
        again.name = b"far"
        again.send(packets.CONNECTION, "pw")
        answer = again.next(packets.CONNECTION)
        assert packets.decode(answer, True) == (1,), "the old connection is alive"
        subprocess.run(
            ["ip", "netns", "exec", name, "ip", "link", "set", f"{name}b", "down"], check=True
        )
        if not idle:
            near.send(packets.ADD_STROKE, 0, RED, 1, 1, [[1, 1]])
        again = Raw(process.paint)
        again.name = b"far"
        again.send(packets.CONNECTION, "pw")
        answer = again.next(packets.CONNECTION)
        assert packets.decode(answer, True) == (0,)
    assert process.stop() == 0


@contextlib.contextmanager
def far_away(process: Process, name: str, address: str):
    """Somebody in the other network who is logged in as `far` and sits in the drawing `d`."""
    text = b"".join(
        kind.encode_request(DATE, b"far", *values)
        for kind, *values in (
            (packets.CREATE_ACCOUNT, "pw"),
            (packets.CONNECTION, "pw"),
            (packets.LOBBY_CREATION, lobby("d", "far")),
        )
    )
    port = process.paint.rsplit(":", 1)[1]
    argv = ["ip", "netns", "exec", name, sys.executable, "-c", CLIENT, port, text.hex(), address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as far:
        assert far.stdout is not None
        assert far.stdout.readline() == b"in\n"
        yield far
        far.kill()


def metrics(process: Process) -> bytes:
    return process.get("/metrics")[1]
