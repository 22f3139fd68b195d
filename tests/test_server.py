"""The real server as a process: HTTP, WebSocket, kill -9, a full disk, slow readers, attackers."""

import asyncio
import contextlib
import random
import resource
import signal
import struct
import time

import pytest

from polypaint import connect
from polypaint.errors import SettingsError, StoreError, StoreFull
from polypaint.paint import packets
from polypaint.runtime.server import Server

from .conftest import serving
from .peers import Raw, memory
from .processes import Process, http
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


# ---------------------------------------------------------------- start and stop
def test_it_stops_in_time_with_everybody_connected(tmp_path):
    process = Process(tmp_path).start()
    people = [Raw(process.paint).login(f"p{i}") for i in range(5)]
    people[0].send(packets.LOBBY_CREATION, lobby("d", "p0"))
    people[0].send(packets.ADD_STROKE, 0, RED, 1, 1, [[1, 1]])
    people[0].send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    began = time.monotonic()
    assert process.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert all(person.at_end() for person in people)
    assert "replayed=0" in plain(Process(tmp_path).start())


def plain(process: Process) -> str:
    """The log of a process that is then stopped, without colours."""
    assert process.stop() == 0
    return process.log.read_text()


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_was_seen_survives_kill_9(tmp_path, durability):
    process = Process(tmp_path, "--durability", durability)
    rng = random.Random(5)
    seen: list[bytes] = []
    for round_ in range(5):
        process.start()
        ada, bob = (Raw(process.paint).login(n, new=round_ == 0) for n in ("ada", "bob"))
        if round_ == 0:
            ada.send(packets.LOBBY_CREATION, lobby("d", "ada"))
            ada.next(packets.LOBBY_CREATION)
        else:
            ada.send(packets.LOBBY_CONNECT, lobby("d"))
            ada.next(packets.LOBBY_FREEZE_STATE)
            ada.next(packets.LOBBY_FREEZE_STATE)
        bob.send(packets.LOBBY_CONNECT, lobby("d"))
        strokes = []
        while (packet := bob.next())[2] != packets.LOBBY_FREEZE_STATE.id or strokes is None:
            if packet[2] == packets.ADD_STROKE.id:
                strokes.append(packet)
        while (packet := bob.next())[2] != packets.LOBBY_FREEZE_STATE.id:
            if packet[2] == packets.ADD_STROKE.id:
                strokes.append(packet)
        assert strokes[: len(seen)] == seen, "something that was seen is lost"
        seen = strokes
        for x in range(rng.randint(20, 200)):
            ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, round_]])
            if rng.random() < 0.3:
                seen.append(bob.next(packets.ADD_STROKE))
        process.kill()
        with contextlib.suppress(ConnectionError, TimeoutError):
            while packet := bob.next(packets.ADD_STROKE):
                seen.append(packet)
        ada.close(), bob.close()
    assert seen
    process.start()
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


def test_a_half_written_journal_is_recovered_and_reported(tmp_path):
    process = Process(tmp_path).start()
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada"))
    for x in range(20):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]])
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    process.kill()
    wal = process.data / "journal.db-wal"
    content = wal.read_bytes()
    wal.write_bytes(content + content[32 : 32 + 24 + 1000])
    log = plain(process.start())
    assert "half-written" in log
    assert "1024" in log
    process.start()
    bob = Raw(process.paint).login("bob")
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.FETCH_DATABASE)
    for _ in range(20):
        assert bob.next(packets.ADD_STROKE)
    assert process.stop() == 0


async def test_the_data_folder_is_used_once(tmp_path):
    async with serving(tmp_path):
        with pytest.raises(StoreError, match="in use"):
            async with serving(tmp_path):
                pass


async def test_a_port_that_is_taken(tmp_path):
    async with serving(tmp_path / "a") as server:
        port = int(server.addresses["paint"].rsplit(":", 1)[1])
        with pytest.raises(SettingsError, match="--paint-port"):
            async with serving(tmp_path / "b", paint_port=port):
                pass


async def test_a_certificate_that_is_none(tmp_path):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("x")
    with pytest.raises(SettingsError, match=r"nothing\.pem"):
        async with serving(tmp_path / "data", tls_cert=nothing, tls_key=nothing):
            pass


# ---------------------------------------------------------------- a full disk
def limit_files(process: Process, size: int) -> None:
    """From now on the process can make no file larger than this."""
    assert process.child is not None
    resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_turns_lobbies_read_only_and_recovers(tmp_path):
    process = Process(tmp_path).start()
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.LOBBY_FREEZE_STATE), bob.next(packets.LOBBY_FREEZE_STATE)
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[0, 0]])
    assert bob.next(packets.ADD_STROKE)
    wal = process.data / "journal.db-wal"
    limit_files(process, wal.stat().st_size)
    for x in range(1, 40):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * 300)
    assert packets.decode(bob.next(packets.LOBBY_FREEZE_STATE), True) == (1,)
    assert "disk is full" in packets.decode(bob.next(packets.CHANNEL_MESSAGE), True)[0]
    assert process.get("/readyz")[0] == 503
    assert process.get("/healthz")[0] == 200
    limit_files(process, resource.RLIM_INFINITY)
    received = []
    while len(received) < 39:
        packet = bob.next()
        if packet[2] == packets.ADD_STROKE.id:
            received.append(packets.decode(packet)[4][0][0])
    assert received == list(range(1, 40))
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[40, 0]])
    assert bob.next(packets.ADD_STROKE)
    process.kill()
    process.start()
    eve = Raw(process.paint).login("eve")
    eve.send(packets.LOBBY_CONNECT, lobby("d")).next(packets.FETCH_DATABASE)
    assert [bool(eve.next(packets.ADD_STROKE)) for _ in range(41)] == [True] * 41
    assert process.stop() == 0


async def test_the_reserve_lets_everybody_go_on_looking(tmp_path):
    async with serving(tmp_path) as server:
        real = server.journal.commit
        endpoint = 0

        def commit(batches):
            if endpoint <= 0:
                raise StoreFull("no room")
            real(batches)

        def use_reserve() -> bool:
            nonlocal endpoint
            endpoint = 1
            return True

        def fill_reserve() -> None:
            if endpoint < 2:
                raise StoreFull("no room")

        server.journal.commit = commit
        server.journal.use_reserve = use_reserve
        server.journal.fill_reserve = fill_reserve
        address = server.addresses["paint"]
        async with connect(address, "ada", "pw", create=True) as ada:
            endpoint = 1
            mine = await ada.create("d")
            await mine.selected_stroke([0]) if mine.canvas.strokes else None
            endpoint = 0
            stroke = mine.add_stroke(0, RED, 1, 1, [(1, 1)])
            async with connect(address, "bob", "pw", create=True) as bob:
                await bob.say("General", "still here")
                assert (await anext(ada.messages())).content.startswith("The server's disk")
                assert (await anext(ada.messages())).content == "still here"
            assert server.context.read_only
            endpoint = 2
            assert (await stroke).name == "APPLIED"
            await mine.add_stroke(0, RED, 1, 1, [(2, 2)])
            assert not server.context.read_only


# ---------------------------------------------------------------- slow readers
def test_a_slow_reader_costs_bounded_memory_and_is_closed(tmp_path):
    process = Process(tmp_path, "--slow-seconds", "2").start()
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    slow = Raw(process.paint, buffer=4096).login("slow")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    for other in (bob, slow):
        other.send(packets.LOBBY_CONNECT, lobby("d"))
        other.next(packets.LOBBY_FREEZE_STATE), other.next(packets.LOBBY_FREEZE_STATE)
    for turn in range(60):
        for _ in range(8):
            ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[turn, 0]] * 8000)
            assert bob.next(packets.ADD_STROKE)
        ada.send(packets.RESET_CANVAS)
        bob.next(packets.RESET_CANVAS)
        if turn == 9:
            before = memory(process)
    assert memory(process) - before < 16 << 20
    deadline = time.monotonic() + 10
    while b"polypaint_evicted_total 1.0" not in process.get("/metrics")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[9, 9]])
    assert bob.next(packets.ADD_STROKE)
    assert process.stop() == 0


def test_a_slow_reader_that_wakes_up_sees_the_canvas(process):
    ada = Raw(process.paint).login("ada")
    slow = Raw(process.paint, buffer=4096).login("slow")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    slow.send(packets.LOBBY_CONNECT, lobby("d"))
    slow.next(packets.LOBBY_FREEZE_STATE), slow.next(packets.LOBBY_FREEZE_STATE)
    for x in range(150):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * 8000)
        ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)  # not all in one turn of the loop
    ada.send(packets.REMOVE_STROKE, list(range(149, 2, -1)))
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    slow.next(packets.FETCH_DATABASE)
    for x in range(3):
        assert packets.decode(slow.next(packets.ADD_STROKE))[4][0][0] == x
    assert packets.decode(slow.next(packets.LOBBY_FREEZE_STATE), True) == (0,)


# ---------------------------------------------------------------- attackers
def test_attackers_do_not_disturb_honest_people(process):
    rng = random.Random(3)
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.LOBBY_FREEZE_STATE), bob.next(packets.LOBBY_FREEZE_STATE)
    before = memory(process)
    half_open = [Raw(process.paint) for _ in range(300)]
    for i, sock in enumerate(half_open):
        if i % 3:
            sock.socket.sendall(b"\xff\xff\x0c")
    web = process.web.removeprefix("http://")
    for i in range(60):
        random_bytes = Raw(web if i % 4 == 0 else process.paint)
        with contextlib.suppress(ConnectionError):
            random_bytes.socket.sendall(rng.randbytes(rng.randint(1, 5000)))
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[i, 0]])
        assert packets.decode(bob.next(packets.ADD_STROKE))[4][0][0] == i
        random_bytes.close()
    mallory = Raw(process.paint).login("mallory")
    mallory.send(packets.LOBBY_CONNECT, lobby("d"))
    mallory.next(packets.LOBBY_FREEZE_STATE)
    with contextlib.suppress(ConnectionError):
        for _ in range(60):
            data = rng.randbytes(rng.randint(0, 60))
            head = struct.pack("<HBIB", 8 + len(data), rng.choice((12, 13, 14, 19, 31)), 0, 0)
            mallory.socket.sendall(head + data)
    assert mallory.at_end()
    for sock in half_open:
        assert sock.at_end()
        sock.close()
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[99, 0]])
    assert bob.next(packets.ADD_STROKE)
    assert memory(process) - before < 32 << 20


def test_asking_without_reading_costs_bounded_memory(process):
    for i in range(120):
        owner = Raw(process.paint).login(f"owner{i}")
        owner.send(packets.LOBBY_CREATION, lobby(f"{'n' * 100}{i}", f"owner{i}"))
    before = memory(process)
    greedy = Raw(process.paint, buffer=4096).login("greedy")
    one = packets.LOBBY_FETCH.encode_request(DATE, b"greedy")
    greedy.socket.settimeout(1)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(50):
            greedy.socket.sendall(one * 4000)
    assert memory(process) - before < 24 << 20
    assert process.get("/healthz")[0] == 200


async def test_power_commits_do_not_block_the_loop(tmp_path):
    async with serving(tmp_path, durability="power") as server:
        address = server.addresses["paint"]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            mine = await ada.create("d")
            theirs = await bob.join("d")
            await asyncio.gather(*(mine.add_stroke(0, RED, 1, 1, [(x, 1)]) for x in range(300)))
            await theirs.wait_for(lambda c: len(c.strokes) == 300)
            real = server.journal.commit
            failures = 2

            def commit(batches):
                nonlocal failures
                failures -= 1
                if failures >= 0:
                    raise StoreFull("no room")
                real(batches)

            server.journal.commit = commit
            assert (await mine.add_stroke(0, RED, 1, 1, [(5, 5)])).name == "APPLIED"
            await theirs.wait_for(lambda c: len(c.strokes) == 301)


async def test_storing_fails_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.paint.checkpoints.SAVE_AGAIN_S", 0.05)
    async with serving(tmp_path) as server:
        real_save, real_load = server.store.save, server.store.load
        fails = True

        async def save(*arguments) -> None:
            if fails:
                raise StoreFull("no room")
            await real_save(*arguments)

        async def load(number: int):
            if fails:
                raise StoreError("no")
            return await real_load(number)

        server.store.save, server.store.load = save, load  # type: ignore[assignment]
        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            drawing = await ada.create("d")
            await drawing.add_stroke(0, RED, 1, 1, [(1, 1)])
            await drawing.leave()
            await ada.lobbies()
            await asyncio.sleep(0.1)
            assert server.paint.lobbies["d"].canvas is not None
            fails = False
            while server.paint.lobbies["d"].canvas is not None:
                await asyncio.sleep(0.01)
            fails = True
            with pytest.raises(Exception, match="there is no drawing"):
                await ada.join("d")
            url = server.addresses["web"] + "/api/lobbies/d/canvas.png"
            assert (await asyncio.to_thread(http, url))[0] == 503
            fails = False


async def test_accounts_when_the_store_fails(tmp_path):
    async with serving(tmp_path) as server:

        async def fail(*_):
            raise StoreFull("no room")

        server.store.add_account = server.store.password_hash = fail
        ada = await asyncio.to_thread(Raw, server.addresses["paint"])
        ada.name = b"ada"
        ada.send(packets.CREATE_ACCOUNT, "pw")
        assert packets.decode(await asyncio.to_thread(ada.next), True) == (2,)
        bob = await asyncio.to_thread(Raw, server.addresses["paint"])
        bob.name = b"bob"
        bob.send(packets.CONNECTION, "pw")
        assert packets.decode(await asyncio.to_thread(bob.next), True) == (2,)
        ada.close(), bob.close()


async def test_stopping_twice_as_long_as_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.runtime.runtime.STOP_S", 0.2)
    server_ = None
    async with serving(tmp_path) as server:
        server_ = server

        async def never(*_):
            await asyncio.sleep(60)

        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            await (await ada.create("d")).add_stroke(0, RED, 1, 1, [(1, 1)])
            server.store.save = never
    assert isinstance(server_, Server)
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "bob", "pw", create=True) as bob,
    ):
        assert len((await bob.join("d")).canvas.strokes) == 1


def test_many_peers_are_sent_to_at_once(process):
    people = [Raw(process.paint).login(f"p{i}") for i in range(30)]
    people[0].send(packets.LOBBY_CREATION, lobby("d", "p0")).next(packets.LOBBY_CREATION)
    for person in people[1:]:
        person.send(packets.LOBBY_CONNECT, lobby("d"))
        person.next(packets.LOBBY_FREEZE_STATE), person.next(packets.LOBBY_FREEZE_STATE)
    for turn in range(60):
        for i, person in enumerate(people):
            person.send(packets.ADD_STROKE, 0, RED, 1, 1, [[i, turn]])
        time.sleep(0.001)
    for i, person in enumerate(people):
        seen = [packets.decode(person.next(packets.ADD_STROKE)) for _ in range(60 * 29)]
        indices = [values[0] for values in seen]
        assert indices == sorted(indices)
        assert all(values[4][0][0] != i for values in seen)


async def test_a_timer_that_does_nothing_does_not_silence_the_next(tmp_path):
    async with serving(tmp_path) as server:
        rung = asyncio.Event()
        now = server.now()
        server.context.timers.at(now + 0.05, lambda _now: None)
        server.context.timers.at(now + 0.15, lambda _now: rung.set())
        server.run_effects()
        async with asyncio.timeout(5):
            await rung.wait()


def test_the_login_deadline_holds_when_an_earlier_one_was_met(process):
    ada = Raw(process.paint)
    time.sleep(0.3)
    half_open = Raw(process.paint)
    time.sleep(0.2)
    ada.login("ada")
    began = time.monotonic()
    assert half_open.at_end()
    assert time.monotonic() - began < 3
