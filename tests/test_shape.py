"""What `make lint` says of the shape of the code: lengths, others' fields, types at seams."""

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from .sources import ROOT


@pytest.fixture(scope="module")
def shape() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shape", ROOT / "ci/shape.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ours_has_it() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "ci/shape.py"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_source_is_looked_at(shape: ModuleType) -> None:
    names = set(shape.sources())
    assert {"polypaint/_codec.pyx", "polypaint/_codec.pyi", "tests/test_shape.py"} <= names
    assert names >= shape.SEAMS, "a seam that is somewhere else now is not checked"


@pytest.mark.parametrize("name", ["polypaint/a.py", "polypaint/_a.pyx", "tests/a.py", "ci/a.js"])
def test_files_end(shape: ModuleType, name: str) -> None:
    assert not list(shape.wrong(name, "\n" * 600))
    (line,) = shape.wrong(name, "\n" * 601)
    assert line == f"{name}: 601 lines; a file has at most 600: split it"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("session.waiting = True", "session.waiting"),
        ("self.service.name: int = 1", "self.service.name"),
        ("seat.viewer.standing = 1", "seat.viewer.standing"),
        ("a, (b, session.match) = c", "session.match"),
        ("a, *member.parts = c", "member.parts"),
        ("self.service.counters['x'] += 1", "self.service.counters['x']"),
        ("del viewer.place", "viewer.place"),
        ("self.waiting = session.waiting", None),
        ("seat.viewer = viewer", None),
        ("sessions[session.key] = session", None),
        ("service = self.service", None),
        ("session.wait()", None),
    ],
)
def test_others_fields_are_theirs(shape: ModuleType, code: str, found: str | None) -> None:
    lines = list(shape.wrong("polypaint/matches/a.py", code))
    assert [f"sets `{found}`" in line for line in lines] == ([] if found is None else [True])
    assert not list(shape.wrong("polypaint/net/a.py", code)), "the edge owns its connections"


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("def f(x: Any) -> None: ...", True),
        ("def f() -> list[Any]: ...", True),
        ("def f() -> dict[str, Any]: ...", False),
        ("def f() -> dict[str, list[Any]]: ...", True),
        ("class A:\n    x: typing.Any", True),
        ('T: TypeAlias = "list[Any]"', True),
        ('T: TypeAlias = "dict[str, Any] | None"', False),
        ("def f(x: object) -> None:\n    '''Any number will do.'''", False),
    ],
)
def test_seams_have_types(shape: ModuleType, code: str, wrong: bool) -> None:
    assert bool(list(shape.wrong("polypaint/tanks/viewer.py", code))) == wrong
    assert not list(shape.wrong("polypaint/tanks/battle.py", code))
