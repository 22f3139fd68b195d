"""What is counted as work costs as much as it says, and who waits for a canvas has their turn."""

import json

import pytest

from polypaint.engine.budget import CREATION, SHARE, is_heavy
from polypaint.paint import packets

from .world import DATE, Talker, World

RED = b"\xff\0\0\xff"


@pytest.fixture
def world() -> World:
    return World()


def spent_by(world: World, peer, data: bytes) -> int:
    before = world.context.flush_set.spent
    peer.send_bytes(data)
    return world.context.flush_set.spent - before


def connect(extra: object) -> bytes:
    values = dict.fromkeys(packets.LOBBY_KEYS, "") | {"Filename": "d", "extra": extra}
    return packets.LOBBY_CONNECT.encode_request(DATE, b"eve", json.dumps(values))


def test_json_costs_by_what_stands_in_it(world):
    eve = world.peer("eve").create("d")
    plain = spent_by(world, eve, connect(0))
    assert spent_by(world, eve, connect([[]] * 450)) > plain + 400_000
    assert spent_by(world, eve, connect("x" * 60_000)) > plain + 60_000


def test_json_of_too_many_elements_is_rejected(world):
    eve = world.peer("eve").create("d")
    eve.take()
    eve.send_bytes(connect([[]] * 600))
    assert "LOBBY_CONNECT" not in eve.kinds()
    eve.send_bytes(connect([0] * 900)).expect(packets.LOBBY_CONNECT, 1)


def test_a_line_of_json_costs_by_what_stands_in_it(world):
    talker = Talker(world, world.matches)
    line = json.dumps({"requete": "lister", "x": [[]] * 400}).encode() + b"\n"
    assert spent_by(world, talker, line) > 400_000


def test_what_is_made_costs_more_than_being_read(world):
    eve = world.peer("eve")
    text = json.dumps(dict.fromkeys(packets.LOBBY_KEYS, "public") | {"Owner": "eve"})
    data = packets.LOBBY_CREATION.encode_request(DATE, b"eve", text)
    assert spent_by(world, eve, data) > CREATION
    eve.expect(packets.LOBBY_CREATION, 0)
    talker = Talker(world, world.matches)
    create = {"requete": "creer", "id_publique": "eve", "parametres": {"jeu": "puissance4"}}
    assert spent_by(world, talker, json.dumps(create).encode() + b"\n") > CREATION
    player = Talker(world, world.tanks).send(name="tina", password="pw", newuser=True)
    assert spent_by(world, player, b'{"requeste":"list map"}\n') > CREATION


def test_a_packet_costs_at_least_its_bytes(world):
    eve = world.peer("eve").create("d")
    eve.send(packets.ADD_STROKE, 0, RED, 3, 3, [(1, 2)] * 10)
    indices = [0] * 16_000
    data = packets.SELECTED_STROKE.encode_request(DATE, b"eve", indices)
    assert spent_by(world, eve, data) > len(data)


def test_many_small_pieces_of_work_weigh_as_much_as_a_large_one(world):
    eve = world.peer("eve").create("d")
    little = connect([[]] * 300)
    assert spent_by(world, eve, little) < SHARE // 2
    world.advance(1)
    for _ in range(5):
        assert not is_heavy(eve.session, world.now)
        world.advance(0.01)
        eve.send_bytes(little)
        if is_heavy(eve.session, world.now):
            break
    assert is_heavy(eve.session, world.now)
    world.advance(1)
    eve.send_bytes(little)
    assert not is_heavy(eve.session, world.now)


def test_who_keeps_a_canvas_busy_waits_behind_the_others(world):
    eve = world.peer("eve").create("d", "pixel")
    others = [world.peer(f"p{i}").join("d") for i in range(3)]
    world.service.canvas_queue.heavy = 1000
    waiting = []
    world.defer = waiting.append
    fills = [
        packets.BUCKET_FILL.encode_request(DATE, b"eve", 5, 5, bytes([i, 0, 0, 255]))
        for i in range(20)
    ]
    eve.send_bytes(b"".join(fills))
    for i, peer in enumerate(others):
        peer.take()
        peer.send(packets.SEND_POINTS, 1, RED, [(i, 5)])
    for _ in range(2):  # the fill that was under way, and perhaps one more
        waiting.pop(0)()
        world.run_effects()
    seen = {peer.session.name: peer.kinds().count("SEND_POINTS") for peer in others}
    assert seen == {"p0": 2, "p1": 2, "p2": 2}
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert others[0].kinds().count("BUCKET_FILL") == len(fills) - 2
