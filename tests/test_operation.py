"""What an operator sees of a server: signals, limits, warnings, errors of settings."""

import asyncio
import os
import resource
import signal
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from polypaint.errors import SettingsError
from polypaint.runtime import descriptors as limits

from .conftest import serving
from .processes import Process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_that_stop_it_remove_the_ready_file(tmp_path, number):
    process = Process(tmp_path).start()
    assert (tmp_path / "ready").exists()
    assert process.stop(number) == 0
    assert not (tmp_path / "ready").exists()
    assert "stopped" in process.log.read_text()


def test_a_variable_that_is_no_setting_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYPAINT_HOTS", "0.0.0.0")
    process = Process(tmp_path).start()
    assert process.stop() == 0
    (line,) = [x for x in process.log.read_text().splitlines() if "POLYPAINT_HOTS" in x]
    assert "ignored" in line


async def test_a_host_that_is_none_of_ours(tmp_path):
    with pytest.raises(SettingsError) as refused:
        async with serving(tmp_path, host="203.0.113.1"):
            pass
    assert "--host" in str(refused.value)
    assert "-port" not in str(refused.value)


async def test_a_port_that_is_taken(tmp_path):
    async with serving(tmp_path / "a") as server:
        port = int(server.addresses["paint"].rpartition(":")[2])
        with pytest.raises(SettingsError, match="--paint-port"):
            async with serving(tmp_path / "b", paint_port=port):
                pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", 0), ("0.0.0.0", 1)])
async def test_clear_text_for_everybody_is_warned_of(tmp_path, host, warned):
    with capture_logs() as lines:
        async with serving(tmp_path, host=host):
            pass
    assert sum("clear text" in line["event"] for line in lines) == warned


async def test_a_refused_connection_is_logged_at_a_bounded_rate(tmp_path):
    async with serving(tmp_path, connections_max=1) as server:
        host, _, port = server.addresses["paint"].rpartition(":")
        with capture_logs() as lines:
            _, first = await asyncio.open_connection(host, int(port))
            for _ in range(20):
                reader, writer = await asyncio.open_connection(host, int(port))
                assert await reader.read() == b""
                writer.close()
            first.close()
    refused = [line for line in lines if "connection refused" in line["event"]]
    assert 1 <= len(refused) <= 7
    assert refused[0]["address"] == "127.0.0.1"


def test_descriptors_are_raised_or_too_few_are_warned_of(monkeypatch):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, both: asked.append(both))
    with capture_logs() as lines:
        assert limits.raise_descriptors(1000) == 1000
        assert not lines
        assert limits.raise_descriptors(20_000) == 4096 - limits.OWN
    assert asked == [(4096, 4096)] * 2
    assert lines[0]["limit"] == 4096

    def refused(_which, _both):
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refused)
    with capture_logs() as lines:
        assert limits.raise_descriptors(2000) == 1024 - limits.OWN
    assert [line["limit"] for line in lines] == [1024, 1024]


def test_a_server_with_few_descriptors_refuses_and_goes_on(tmp_path):
    """More connections than descriptors: those that are there are served, later ones get in."""
    few = 200
    argv = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({few}, {few}))
from polypaint.__main__ import main
main()
"""
    process = Process(tmp_path)
    ready = tmp_path / "ready"
    with process.log.open("ab") as log:
        process.child = subprocess.Popen(
            [sys.executable, "-c", argv, "--data", str(process.data), "--ready-file", str(ready),
             "--paint-port", "0", "--matches-port", "0", "--tanks-port", "0", "--web-port", "0",
             "--bcrypt-rounds", "4", "--login-seconds", "30"],
            stdout=log, stderr=log,
        )  # fmt: skip
    asyncio.run(_fill_up(process, ready, few))
    assert process.stop() == 0
    text = process.log.read_text()
    assert "raise the limit" in text
    assert "Traceback" not in text


async def _fill_up(process, ready, few):
    import json

    from polypaint import connect

    async with asyncio.timeout(30):
        while not ready.exists():
            await asyncio.sleep(0.01)
    process.ready = json.loads(ready.read_text())
    host, _, port = process.paint.rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(few + 50)]
    for _, writer in opened:
        writer.close()
    async with asyncio.timeout(30):
        while True:
            try:
                async with connect(process.paint, "ada", "pw", create=True, reconnect=False):
                    return
            except Exception:
                await asyncio.sleep(0.05)


def test_the_help_shows_choices_and_kinds():
    done = subprocess.run(
        [sys.executable, "-m", "polypaint", "serve", "--help"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if " --" in line}
    assert "console|json" in lines["--log-format"]
    assert "INTEGER" in lines["--paint-port"]
    assert "PATH" in lines["--data"]
    assert "NUMBER" in lines["--seat-hold"]
    assert "<str>" not in done.stdout
