"""The project's own files, found without git: a source tarball has none.

Used by the tests that read or copy everything. Counterpart: `.gitignore`, which names the rest.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IGNORED = [
    line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()
] + [".git"]  # fmt: skip


def ignored(name: str) -> bool:
    """Is a file or folder of this name made by tools, not written by people?"""
    return any(fnmatch(name, pattern) for pattern in _IGNORED)


def sources() -> Iterator[Path]:
    """Every file of the project, relative to its root."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not ignored(name)]
        yield from (Path(folder, name).relative_to(ROOT) for name in files if not ignored(name))
