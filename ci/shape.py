#!/usr/bin/env python3
"""The shape of the code, as `make lint` wants it: one line for each thing that is wrong.

    ci/shape.py            everything that is the project's
    ci/shape.py FILES…     these files only

LENGTH. No source has more than LINES_MAX lines, tests included.
FIELDS. In the domain, nobody sets a field of somebody else's session, or of a service: there are
    methods for that, which could be messages.
SEAMS. What one part of the program hands to another has a type: no `Any` in these files, but in
    JSON objects (`dict[str, Any]`).

Circles between files are import-linter's (pyproject.toml).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LINES_MAX: Final = 600
FOLDERS: Final = ("polypaint", "tests", "benchmarks", "ci")
SUFFIXES: Final = frozenset((".py", ".pyx", ".pxd", ".pyi", ".js"))
DOMAIN: Final = ("polypaint/engine/", "polypaint/paint/", "polypaint/matches/", "polypaint/tanks/")
OTHERS: Final = frozenset(
    ("session", "viewer", "member", "holder", "older", "service", "_service", "manager", "table")
)
"""Names that stand for somebody else's session, or for a service."""
JSON: Final = "dict[str, Any]"
SEAMS: Final = frozenset(
    (
        "polypaint/engine/context.py",
        "polypaint/engine/documents.py",
        "polypaint/engine/effects.py",
        "polypaint/engine/service.py",
        "polypaint/matches/effects.py",
        "polypaint/matches/viewer.py",
        "polypaint/net/connection.py",
        "polypaint/paint/commands.py",
        "polypaint/paint/member.py",
        "polypaint/runtime/services.py",
        "polypaint/tanks/viewer.py",
    )
)


def wrong(name: str, text: str) -> Iterator[str]:
    """What is wrong with a source. name: its path from the project's folder, with slashes."""
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield f"{name}: {lines} lines; a file has at most {LINES_MAX}: split it"
    if not name.endswith(".py"):
        return
    if name.startswith(DOMAIN):
        yield from _foreign_fields(name, ast.parse(text))
    if name in SEAMS:
        yield from _untyped(name, ast.parse(text))


def _foreign_fields(name: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        for target in _flat(targets):
            owner = _owner(target)
            if owner in OTHERS:
                what = ast.unparse(target)
                yield f"{name}:{target.lineno}: sets `{what}`, another's: give {owner} a method"


def _flat(targets: list[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        elif isinstance(target, ast.Starred):
            yield from _flat([target.value])
        else:
            yield target


def _owner(target: ast.expr) -> str:
    """Whose field is set, or whose field's entry; empty when it is nobody's."""
    if isinstance(target, ast.Subscript):
        return _owner(target.value) if isinstance(target.value, ast.Attribute) else ""
    if not isinstance(target, ast.Attribute):
        return ""
    owner = target.value
    if isinstance(owner, ast.Attribute):
        return owner.attr
    return owner.id if isinstance(owner, ast.Name) else ""


def _untyped(name: str, tree: ast.AST) -> Iterator[str]:
    for node in _walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            if (node.id if isinstance(node, ast.Name) else node.attr) == "Any":
                yield f"{name}:{node.lineno}: `Any` at a seam: say what it is"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if (
                "Any"
                in node.value.replace(JSON, "")
                .replace("[", " ")
                .replace("]", " ")
                .replace(",", " ")
                .split()
            ):
                if len(node.value) < 200 and "[" in node.value:  # an annotation, not a sentence
                    yield f"{name}:{node.lineno}: `Any` at a seam: say what it is"


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without types of JSON objects."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.Subscript) or ast.unparse(node) != JSON:
            yield node
            yield from _walk(node)


def sources() -> list[str]:
    """The project's sources, by name; found without git, for a tarball has none."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    names = (path.relative_to(ROOT) for path in found if path.suffix in SUFFIXES)
    return sorted(name.as_posix() for name in names if "node_modules" not in name.parts)


def main(names: list[str]) -> int:
    """Exit status: 1 when something is wrong."""
    found = [line for name in names for line in wrong(name, (ROOT / name).read_text())]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or sources()))
