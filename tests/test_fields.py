"""In the domain nobody sets a field that belongs to another module's objects: they have methods.

A field belongs to the modules whose classes declare it or set it on `self`. So what a module
changes can be seen in that module, and what one part tells another could be a message.
"""

import ast
from collections.abc import Iterator

import pytest

from .sources import ROOT

PACKAGES = ("engine", "paint", "matches", "tanks")
ALLOWED = {
    "spent": "FlushSet's counter of work, in C: a call would cost more than what it counts",
}
RECORDS = {
    "polypaint/matches/match_server.py": "Match and Seat are its records; match.py says what is "
    "in them, and how they are kept",
    "polypaint/paint/undo.py": "fills in the records of undo_plan.py, which is its other half",
}


def foreign(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of each setting of a field that no class of this module has."""
    tree = ast.parse(text)
    stored = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and not loads(n)]
    own = {n.attr for n in stored if is_self(n.value)} | set(declared(tree))
    for node in stored:
        if not is_self(node.value) and node.attr not in own:
            yield node.lineno, ast.unparse(node)


def loads(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def declared(tree: ast.Module) -> Iterator[str]:
    """Fields that stand in the bodies of classes."""
    for each in ast.walk(tree):
        if isinstance(each, ast.ClassDef):
            for line in each.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id


@pytest.mark.parametrize("package", PACKAGES)
def test_fields_are_set_where_they_belong(package: str) -> None:
    paths = sorted((ROOT / "polypaint" / package).rglob("*.py"))
    assert paths
    found = [
        f"{name}:{line}: {target}"
        for path in paths
        if (name := path.relative_to(ROOT).as_posix()) not in RECORDS
        for line, target in foreign(path.read_text())
        if target.rpartition(".")[2] not in ALLOWED
    ]
    assert found == [], "give its owner a method for this"


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_allowed_is_needed(name: str) -> None:
    assert list(foreign((ROOT / name).read_text()))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("session.waiting = True", ["session.waiting"]),
        ("self.lobby.busy += 1", ["self.lobby.busy"]),
        ("del member.lobby", ["member.lobby"]),
        ("for member.lobby in []: pass", ["member.lobby"]),
        ("a, (b, match.seat) = c", ["match.seat"]),
        ("def f(self): self.waiting = session.waiting", []),
        ("class Block:\n    size: int\nblock.size = 1", []),
        ("class Block:\n    def f(self): self.size = 0\nblock.size = 1", []),
        ("session.wait()", []),
    ],
)
def test_what_is_another_modules(code: str, found: list[str]) -> None:
    assert [target for _, target in foreign(code)] == found
