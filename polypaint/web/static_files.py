"""What browsers are given: the page's modules, style and icons, made ready once at the start.

The files stand below a path that names their content, so that browsers keep them for ever and a
new version is fetched at once. Comments are left out of modules: they are half of their weight;
lines keep their numbers. Everything is compressed once.

Counterpart: `shell.py`, the HTML that names them.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from posixpath import dirname, join, normpath
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
}
UNSERVED: Final = frozenset({"index.html", "package.json", "README.md"})
COMMENT: Final = re.compile(
    rb"^[ \t]*/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*$|^[ \t]*//[^\n]*$", re.MULTILINE
)
"""One that has its lines for itself."""
IMPORT: Final = re.compile(
    r"^(?:import|export)\b[^\"';]*?(?:\bfrom\s*)?[\"'](\.[^\"']+)[\"'];", re.MULTILINE
)
ZERO: Final = re.compile(r"q\s*=\s*0(?:\.0*)?")
"""The weight of an encoding that is not wanted."""
YEAR_S: Final = 31_536_000


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent. compressed: by gzip; empty where that saves nothing."""

    content: bytes
    compressed: bytes
    etag: str
    media_type: str

    @classmethod
    def made(cls, content: bytes, media_type: str) -> "StaticFile":
        """From the bytes that browsers are to see."""
        compressed = gzip.compress(content, 9, mtime=0)
        if len(compressed) >= len(content):
            compressed = b""
        etag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
        return cls(content, compressed, etag, media_type)

    def response(self, request: Request, headers: dict[str, str], status: int = 200) -> Response:
        """The answer to a request; 304 when its sender has the file. headers: go with it."""
        headers |= {"ETag": self.etag, "Vary": "Accept-Encoding"}
        if status == 200 and is_known(request, self.etag):
            return Response(None, 304, headers)
        body = self.content
        if self.compressed and accepts_gzip(request.headers.get("accept-encoding", "")):
            body = self.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(body, status, headers, self.media_type)


class StaticFiles:
    """All files below `static/`, and the path at which they are. Raises OSError."""

    def __init__(self) -> None:
        found = dict(_walk(files("polypaint.web") / "static"))
        digest = hashlib.sha256()
        for path in sorted(found):
            digest.update(b"%d %b %d " % (len(path), path.encode(), len(found[path])))
            digest.update(found[path])
        self.base = f"/static/{digest.hexdigest()[:16]}"
        self.shell = found["page/index.html"].decode()
        self._files = {
            path: StaticFile.made(content, MEDIA_TYPES[path.rpartition(".")[2]])
            for path, content in found.items()
            if path.rpartition("/")[2] not in UNSERVED
        }

    def __getitem__(self, path: str) -> StaticFile:
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def imports(self, path: str) -> list[str]:
        """The modules that a module imports."""
        names = IMPORT.findall(self[path].content.decode())
        return [normpath(join(dirname(path), name)) for name in names]

    def modules(self, first: str) -> list[str]:
        """The module and all that it imports, in the order in which a browser learns of them."""
        seen = dict.fromkeys([first])
        for path in (waiting := [first]):
            for imported in self.imports(path):
                if imported not in seen:
                    seen[imported] = None
                    waiting.append(imported)
        return list(seen)

    async def serve(self, request: Request) -> Response:
        """A file, for as long as a browser cares to keep it."""
        found = self._files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404, "There is no such file; load the page again.")
        return found.response(request, {"Cache-Control": f"public, max-age={YEAR_S}, immutable"})


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """(path, content) of everything that can be served."""
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif entry.name in UNSERVED or path.rpartition(".")[2] in MEDIA_TYPES:
            content = entry.read_bytes()
            yield path, without_comments(content) if path.endswith(".js") else content


def without_comments(module: bytes) -> bytes:
    """A module with empty lines where comments were."""
    return COMMENT.sub(lambda comment: b"\n" * comment.group().count(b"\n"), module)


def is_known(request: Request, etag: str) -> bool:
    """Does the sender of a request have what has this ETag?"""
    known = request.headers.get("if-none-match", "")
    weak = etag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in (weak, "*") for each in known.split(","))


def accepts_gzip(encodings: str) -> bool:
    """Does an Accept-Encoding allow gzip?"""
    for each in encodings.lower().split(","):
        name, _, weight = each.strip().partition(";")
        if name.strip() in ("gzip", "*"):
            return ZERO.fullmatch(weight.strip()) is None
    return False
