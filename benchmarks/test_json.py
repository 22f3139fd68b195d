"""JSON as the rooms have it, beside the standard library.

pytest benchmarks/test_json.py --benchmark-group-by=group
"""

import json
from typing import Any, TypeAlias

import orjson
import pytest

from polypaint.engine.session import Lines, line
from polypaint.paint.channels import whole_entries
from polypaint.wire import strictjson

Benchmark: TypeAlias = Any
LOBBIES = [
    {"Filename": f"drawing {i}", "Owner": "somebody", "Mode": "stroke", "Protection": "public"}
    for i in range(100)
]
REQUEST = {"requete": "action", "id_publique": "somebody", "action": {"colonne": 3}, "rid": 17}
LINE = line(REQUEST)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice, as `strictjson` wants them."""
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


@pytest.mark.benchmark(group="list of 100 lobbies")
def test_listing(benchmark: Benchmark) -> None:
    entries = [orjson.dumps(lobby) for lobby in LOBBIES]
    assert len(list(benchmark(lambda: list(whole_entries(entries))))) == 100


@pytest.mark.benchmark(group="list of 100 lobbies")
def test_listing_with_json(benchmark: Benchmark) -> None:
    benchmark(lambda: json.dumps(LOBBIES, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.benchmark(group="a request, no key twice")
def test_request(benchmark: Benchmark) -> None:
    assert benchmark(strictjson.loads, LINE) == REQUEST


@pytest.mark.benchmark(group="a request, no key twice")
def test_request_with_json(benchmark: Benchmark) -> None:
    assert benchmark(lambda: json.loads(LINE, object_pairs_hook=once)) == REQUEST


@pytest.mark.benchmark(group="200 lines out of a stream")
def test_lines(benchmark: Benchmark) -> None:
    assert len(benchmark(lambda: Lines().feed(LINE * 200))) == 200
