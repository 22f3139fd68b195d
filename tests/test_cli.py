"""The command line as an operator uses it, and where settings come from."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from polypaint.errors import SettingsError
from polypaint.settings import Settings, load

from .processes import Process
from .test_server import RED, Raw, lobby, packets, plain
from .test_store import drawn


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "polypaint", *map(str, arguments)]
    given = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"} | environment
    return subprocess.run(argv, capture_output=True, text=True, env=given, timeout=60)


def test_version_and_help():
    assert command("--version").stdout.strip() == f"polypaint-fast {version('polypaint-fast')}"
    text = command("--help").stdout
    for word in ("serve", "check", "export", "accounts", "lobbies"):
        assert word in text
    text = command("serve", "--help").stdout
    for name in Settings.model_fields:
        assert "--" + name.replace("_", "-") in text, name


def test_flag_over_environment_over_file_over_default(tmp_path, monkeypatch):
    file = tmp_path / "p.toml"
    file.write_text('paint_port = 1\nweb_port = 2\nlog_format = "json"\nhost = "::1"\n')
    monkeypatch.setenv("POLYPAINT_WEB_PORT", "3")
    monkeypatch.setenv("POLYPAINT_HOST", "0.0.0.0")
    settings = load({"host": "127.0.0.2"}, file)
    assert (settings.paint_port, settings.web_port, settings.log_format) == (1, 3, "json")
    assert settings.host == "127.0.0.2"
    assert settings.tanks_port == 7602


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"paint_port": "x"}, "paint_port"),
        ({"paint_port": 70000}, "paint_port"),
        ({"bcrypt_rounds": 3}, "bcrypt_rounds"),
        ({"store": "postgres://"}, "store"),
        ({"bus": "nats://"}, "bus"),
        ({"tls_cert": "x"}, "together"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_that_are_wrong(flags, message):
    with pytest.raises(SettingsError, match=message):
        load(flags)


def test_files_that_are_wrong(tmp_path):
    with pytest.raises(SettingsError, match="no configuration file"):
        load({}, tmp_path / "none.toml")
    file = tmp_path / "p.toml"
    for text in ("paint_port = \n", "unknown = 1\n"):
        file.write_text(text)
        with pytest.raises(SettingsError):
            load({}, file)


def test_a_wrong_flag_on_the_command_line():
    done = command("--paint-port", "99999")
    assert done.returncode == 2
    assert "paint_port" in done.stderr
    assert "Traceback" not in done.stderr
    assert command("check", "--data", "/nowhere/at/all").returncode == 2


def test_json_logs(tmp_path):
    process = Process(tmp_path, "--log-format", "json").start()
    log = plain(process)
    assert '"event": "listening"' in log


async def test_check(tmp_path):
    data = tmp_path / "data"
    await drawn(data)
    done = command("check", "--data", data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "journal records not yet in a stored drawing: 12" in done.stdout
    assert "everything is sound" in done.stdout
    (data / "journal.db-wal").write_bytes(b"torn")
    assert "did not finish" in command("check", "--data", data).stdout


def test_check_finds_damage(tmp_path):
    process = Process(tmp_path).start()
    ada = Raw(process.paint).login("ada")
    for name in ("one", "two"):
        ada.send(packets.LOBBY_CREATION, lobby(name, "ada"))
        for x in range(100):
            ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]])
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    assert "in use" in command("check", "--data", process.data).stderr
    assert process.stop() == 0
    assert command("check", "--data", process.data).returncode == 0
    import sqlite3

    with sqlite3.connect(process.data / "store.db") as db:
        db.execute("UPDATE parts SET data = x'00' WHERE number = 1")
    db.close()
    done = command("check", "--data", process.data)
    assert done.returncode == 1
    assert "PROBLEM: drawing 'one'" in done.stdout


def test_accounts_lobbies_export(tmp_path):
    process = Process(tmp_path).start()
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada"))
    ada.send(packets.ADD_STROKE, 0, RED, 5, 5, [[9, 9], [90, 90]])
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    process.kill()
    data = ("--data", process.data)
    assert "d" in command("lobbies", "list", *data).stdout
    png = tmp_path / "d.png"
    assert command("export", "d", png, *data).returncode == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert command("export", "d", tmp_path / "d.svg", *data).returncode == 0
    for wrong in (("none", png), ("d", tmp_path / "d.gif")):
        assert command("export", *wrong, *data).returncode == 2
    rounds = {"POLYPAINT_BCRYPT_ROUNDS": "4"}
    add = ("accounts", "add", "bob", "--password", "secret")
    assert command(*add, *data, **rounds).returncode == 0
    assert "already" in command(*add, *data, **rounds).stderr
    change = ("accounts", "password", "bob", "--password")
    assert command(*change, "pw", *data, **rounds).returncode == 0
    assert command(*change, "", *data, **rounds).returncode == 2
    assert command("accounts", "password", "eve", "--password", "x", *data, **rounds).returncode
    assert command("accounts", "add", "a\tb", "--password", "x", *data, **rounds).returncode == 2
    assert "bob" in command("accounts", "list", *data).stdout
    process.start()
    Raw(process.paint).login("bob", new=False)
    assert process.stop() == 0


def test_the_ready_file_names_everything(process):
    assert set(process.ready) == {"paint", "matches", "tanks", "web", "pid"}
    assert process.ready["web"].startswith("http://127.0.0.1:")
    assert process.child is not None
    assert process.ready["pid"] == process.child.pid
    assert Path(process.data, "store.db").exists()
