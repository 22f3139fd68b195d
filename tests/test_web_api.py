"""The API's documents: what they say is so, whatever is sent."""

import asyncio
import json
import subprocess
import sys

from .conftest import serving
from .test_web_page import answer
from .test_web_sessions import Page


async def test_the_document_names_every_endpoint_of_the_api(tmp_path):
    async with serving(tmp_path) as server:
        _, headers, body = await answer(server.addresses["web"], "/api/openapi.json")
        assert headers["content-type"] == "application/json"
        document = json.loads(body)
    assert document["openapi"].startswith("3.1")
    named = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert named == {
        ("GET", "/api/session"),
        ("POST", "/api/session"),
        ("DELETE", "/api/session"),
        ("GET", "/api/session/tokens"),
        ("DELETE", "/api/session/tokens"),
        ("DELETE", "/api/session/tokens/{id}"),
        ("POST", "/api/accounts"),
        ("POST", "/api/accounts/guest"),
        ("PUT", "/api/account"),
        ("GET", "/api/lobbies"),
        ("POST", "/api/lobbies"),
        ("GET", "/api/lobbies/{name}"),
        ("PATCH", "/api/lobbies/{name}"),
        ("DELETE", "/api/lobbies/{name}"),
        ("GET", "/api/lobbies/{name}/canvas.{kind}"),
        ("PUT", "/api/lobbies/{name}/canvas.{kind}"),
        ("GET", "/api/lobbies/{name}/thumbnail.webp"),
        ("POST", "/api/lobbies/{name}/import"),
        ("GET", "/api/me/drawings"),
        ("GET", "/api/matches"),
        ("GET", "/api/players"),
        ("GET", "/api/players/{name}"),
    }


async def test_the_page_to_read_needs_no_script_and_no_other_site(tmp_path):
    async with serving(tmp_path) as server:
        status, headers, html = await answer(server.addresses["web"], "/api/docs")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; style-src 'self'"
        )
        assert b"<script" not in html
        assert b"://" not in html
        assert b"/api/lobbies/{name}/thumbnail.webp" in html
        assert b"Who one is" in html


async def test_schemathesis_finds_nothing(tmp_path):
    """Valid and invalid requests, made from the document, for somebody who is signed in."""
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        page = Page(web)
        _, session = await page.ask("POST", "/api/accounts", {"name": "ada", "password": "pw"})
        token = session["token"]
        await page.ask("POST", "/api/lobbies", {"name": "Quiet Harbour"})
        command = [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
            "run", f"{web}/api/openapi.json", "--header", f"Authorization: Bearer {token}",
            "--max-examples", "6", "--seed", "1", "--no-color", "--continue-on-failure",
            "--generation-database", "none",
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, cwd=tmp_path, timeout=100
        )
    assert " passed" in done.stdout
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
