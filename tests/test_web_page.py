"""How the page is served: addresses, headers, weight."""

import asyncio
import gzip
import re

import pytest

from polypaint import connect
from polypaint.web import shell
from polypaint.web.static_files import StaticFiles, accepts_gzip, without_comments

from .conftest import serving
from .javascript import node
from .peers import Browser
from .sources import ROOT

STATIC = ROOT / "polypaint/web/static"
FIRST_LOAD_BYTES_MAX = 150_000
CSS_BYTES_MAX = 20_000


async def answer(web: str, path: str, *headers: str, method: str = "GET"):
    """(status, headers, body)"""

    def ask():
        with Browser(web) as browser:
            lines = "".join(f"{line}\r\n" for line in ("Connection: close", *headers))
            browser.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
            return browser.answer()

    return await asyncio.to_thread(ask)


# ---------------------------------------------------------------- addresses
async def test_every_address_of_the_page_has_the_same_shell(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        web = server.addresses["web"]
        await ada.create("some/where é")
        await ada.create("hers", "stroke", "private")
        html = (await answer(web, "/"))[2]
        assert b'<script type="module" src="/static/' in html
        assert b"{{" not in html
        for path, status in {
            "/": 200,
            "/d/some/where%20%C3%A9": 200,
            "/d/some%2Fwhere%20%C3%A9": 200,
            "/d/hers": 404,
            "/d/nothing": 404,
            "/play": 200,
            "/tanks": 200,
            "/m/NOSUCH": 404,
            "/admin": 404,
        }.items():
            assert (await answer(web, path))[::2] == (status, html), path
        assert (await answer(web, "/nothing", "Accept: text/html,*/*"))[::2] == (404, html)
        assert (await answer(web, "/nothing"))[2] == b"Not Found"
        assert (await answer(web, "/d/hers", "Authorization: Basic YWRhOnB3"))[0] == 200


async def test_the_shell_may_run_nothing_but_our_modules(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        for path in ("/", "/d/nothing"):
            _, headers, html = await answer(web, path)
            policy = headers["content-security-policy"]
            assert policy == shell.CONTENT_SECURITY_POLICY
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cache-control"] == "no-cache"
            assert all(
                url.startswith(b"/static/") for url in re.findall(rb'(?:src|href)="([^"]*)"', html)
            )


@pytest.mark.parametrize(
    ("host", "forwarded", "sent"),
    [
        ("127.0.0.1:1", "", True),
        ("[::1]:1", "", True),
        ("tablet.lan:7680", "", False),
        ("paint.example", "X-Forwarded-Proto: https\r\n", True),
    ],
)
async def test_a_browser_is_not_told_what_it_would_complain_of(tmp_path, host, forwarded, sent):
    async with serving(tmp_path) as server:
        with Browser(server.addresses["web"]) as browser:
            browser.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n{forwarded}\r\n".encode())
            headers = (await asyncio.to_thread(browser.answer))[1]
    assert ("cross-origin-opener-policy" in headers) is sent


async def test_who_has_the_shell_is_not_sent_it_again(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        _, headers, html = await answer(web, "/")
        etag = headers["etag"]
        assert (await answer(web, "/", f"If-None-Match: {etag}"))[::2] == (304, b"")
        assert (await answer(web, "/", f'If-None-Match: "x", {etag}'))[0] == 304
        assert (await answer(web, "/", 'If-None-Match: "x"'))[::2] == (200, html)
        assert (await answer(web, "/d/nothing", f"If-None-Match: {etag}"))[0] == 404


async def test_heads(tmp_path):
    async with serving(tmp_path) as server:
        for path in ("/", "/d/nothing", "/api", StaticFiles().base + "/page/style.css"):
            with Browser(server.addresses["web"]) as browser:
                browser.send(f"HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
                head = (await asyncio.to_thread(browser.file.read)).lower()
            assert b"content-length: " in head
            assert head.endswith(b"\r\n\r\n"), "the answer to HEAD has no body"


# ---------------------------------------------------------------- files
async def test_files_are_kept_for_ever_under_a_path_that_names_their_content(tmp_path):
    static = StaticFiles()
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        for path in ("page/main.js", "page/style.css", "page/icon.svg", "client/index.js"):
            status, headers, plain = await answer(web, f"{static.base}/{path}")
            assert (status, plain) == (200, static[path].content)
            assert headers["cache-control"] == "public, max-age=31536000, immutable"
            assert headers["vary"] == "Accept-Encoding"
            assert "content-encoding" not in headers
            _, headers, packed = await answer(
                web, f"{static.base}/{path}", "Accept-Encoding: br, gzip"
            )
            assert headers["content-encoding"] == "gzip"
            assert gzip.decompress(packed) == plain
        assert headers["content-type"].startswith("text/javascript")
        for path in (
            "page/index.html",
            "page/package.json",
            "client/README.md",
            "page/../shell.py",
            "",
        ):
            assert (await answer(web, f"{static.base}/{path}"))[0] == 404, path
        assert (await answer(web, "/static/0123456789abcdef/page/main.js"))[0] == 404


def test_the_path_changes_with_the_files(monkeypatch):
    before = StaticFiles()
    assert StaticFiles().base == before.base
    walk = StaticFiles.__init__.__globals__["_walk"]

    def walked(folder, prefix=""):
        for path, content in walk(folder, prefix):
            yield path, content + b" " if path == "page/ui/dom.js" else content

    monkeypatch.setitem(StaticFiles.__init__.__globals__, "_walk", walked)
    assert StaticFiles().base != before.base


@pytest.mark.parametrize(
    ("encodings", "accepted"),
    [
        ("", False),
        ("br", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
    ],
)
def test_gzip_is_for_who_takes_it(encodings, accepted):
    assert accepts_gzip(encodings) is accepted


def test_comments_are_left_out_and_lines_keep_their_numbers():
    module = b"""/** What it is. */
import { a } from "./a.js"; // stays

/**
 * Adds.
 *
 * @param {number} x
 */
export function add(x) {
  // Why.
  /** @type {number} */ (x).y();
  const url = "http://x"; /** stays */ const glob = "a/**/b";
  return x;
}
"""
    left = without_comments(module)
    assert left.count(b"\n") == module.count(b"\n")
    assert [line for line in left.splitlines() if line] == [
        b'import { a } from "./a.js"; // stays',
        b"export function add(x) {",
        b"  /** @type {number} */ (x).y();",
        b'  const url = "http://x"; /** stays */ const glob = "a/**/b";',
        b"  return x;",
        b"}",
    ]


TEMPLATE = re.compile(rb"`(?:[^`\\\\]|\\\\.)*`")
PARSE = """
import { SourceTextModule } from "node:vm";
import { readFileSync } from "node:fs";
for (const path of process.argv.slice(1)) new SourceTextModule(readFileSync(path, "utf8"));
"""


def test_modules_mean_the_same_without_comments(tmp_path):
    static = StaticFiles()
    parsed = []
    for path in (name for name in static if name.endswith(".js")):
        served, original = static[path].content, (STATIC / path).read_bytes()
        for template in TEMPLATE.findall(served):
            assert template in original, f"{path}: something in a template looks like a comment"
        parsed.append(tmp_path / path.replace("/", "-"))
        parsed[-1].write_bytes(served)
    flags = ("--experimental-vm-modules", "--no-warnings", "--input-type=module")
    node(*flags, "--eval", PARSE, *parsed)
    assert len(parsed) > 50


# ---------------------------------------------------------------- weight
async def test_the_first_load_is_light(tmp_path):
    """What the page needs is named by the shell, so that a browser asks for all of it at once."""
    static = StaticFiles()
    async with serving(tmp_path) as server:
        web = server.addresses["web"]

        def loaded(path: str) -> int:
            with Browser(web) as browser:
                browser.get(path, "Accept-Encoding: gzip", "Connection: close")
                return len(browser.file.read())

        html = (await answer(web, "/"))[2].decode()
        preloaded = re.findall(r'<link rel="modulepreload" href="([^"]*)">', html)
        assert preloaded == [f"{static.base}/{path}" for path in static.modules("page/main.js")]
        others = re.findall(r'<link rel="(?:stylesheet|icon)" href="([^"]*)"', html)
        assert len(others) == 2
        sizes = {
            path: await asyncio.to_thread(loaded, path) for path in ("/", *preloaded, *others)
        }
    assert sum(sizes.values()) <= FIRST_LOAD_BYTES_MAX
    assert len(static["page/style.css"].content) < CSS_BYTES_MAX


def test_every_module_is_needed():
    static = StaticFiles()
    ours = {path for path in static if path.startswith("page/") and path.endswith(".js")}
    assert ours <= set(static.modules("page/main.js"))
