"""Backups of running and of stopped servers, and what becomes of them."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from polypaint import connect
from polypaint.errors import StoreError
from polypaint.store import backup as backups
from polypaint.store.backup import backup, restore
from polypaint.store.folder import DataFolder

from .processes import Process
from .test_cli import command
from .test_damage import recovered
from .test_store import drawn

COLOUR = bytes(4)


def quiet(_done: int, _total: int) -> None:
    pass


def strokes_of(folder: Path, name: str) -> list[bytes]:
    """A drawing, as a server finds it."""
    data = DataFolder(folder)

    async def look() -> list[bytes]:
        from polypaint.runtime.recovery import recover

        report = await recover(data.store, data.journal)
        assert report.problems == []
        stored = next(x for x in report.lobbies if x.info.filename == name)
        return (await data.store.load(stored.number))[1]

    try:
        return asyncio.run(look())
    finally:
        asyncio.run(data.close())


def test_a_backup_of_a_server_that_people_draw_on(tmp_path):
    """Whatever was acknowledged before the backup began is in it, in the same order."""
    server = Process(tmp_path).start()
    made: list[tuple[Path, int]] = []

    async def draw() -> int:
        async with (
            connect(server.paint, "ada", "pw", create=True) as ada,
            connect(server.paint, "bob", "pw", create=True) as bob,
        ):
            drawing, other = await ada.create("d"), await bob.create("e")
            drawn, done = 0, asyncio.Event()

            async def load() -> None:
                nonlocal drawn
                while not done.is_set():
                    for _ in range(20):
                        other.add_stroke(0, COLOUR, 3, 3, [(1, 1)] * 500)
                        await drawing.add_stroke(0, COLOUR, 3, 3, [(drawn, 1)] * 200)
                        drawn += 1
                    await drawing.settled()
                    await other.settled()

            drawing_on = asyncio.create_task(load())
            for i in range(2):
                while drawn < 50 * (i + 1):
                    await drawing.changed()
                acknowledged = drawn
                to = tmp_path / f"backup {i}"
                answer = await asyncio.to_thread(command, "backup", to, "--data", server.data)
                assert answer.returncode == 0, answer.stdout + answer.stderr
                assert "everything is sound" in answer.stdout
                made.append((to, acknowledged))
            done.set()
            await drawing_on
            return drawn

    try:
        total = asyncio.run(draw())
    finally:
        stopped = server.stop()
    assert stopped == 0
    final = strokes_of(server.data, "d")
    assert len(final) == total
    for to, acknowledged in made:
        target = tmp_path / f"restored {to.name}"
        assert command("restore", to, "--data", target).returncode == 0
        assert command("check", "--data", target).returncode == 0
        strokes = strokes_of(target, "d")
        assert acknowledged <= len(strokes) <= total
        assert strokes == final[: len(strokes)]
    server.data = target
    server.start()
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


async def test_a_backup_of_a_folder_whose_server_was_killed(tmp_path):
    await drawn(tmp_path / "data")
    assert backup(tmp_path / "data", tmp_path / "copy", quiet) == []
    assert oct((tmp_path / "copy").stat().st_mode & 0o777) == "0o700"
    assert await recovered(tmp_path / "copy") == await recovered(tmp_path / "data")


async def test_where_something_is_already_nothing_is_written(tmp_path):
    await drawn(tmp_path / "data")
    (tmp_path / "taken").write_text("mine")
    for to, says in ((tmp_path / "taken", "exists already"), (tmp_path / "x/y", "no folder")):
        with pytest.raises(StoreError, match=says):
            backup(tmp_path / "data", to, quiet)
    assert (tmp_path / "taken").read_text() == "mine"
    backup(tmp_path / "data", tmp_path / "copy", quiet)
    with pytest.raises(StoreError, match="exists already"):
        restore(tmp_path / "copy", tmp_path / "data", quiet)
    with pytest.raises(StoreError, match="is no backup"):
        restore(tmp_path, tmp_path / "new", quiet)
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "copy", tmp_path / "empty", quiet) == []


async def test_a_backup_that_fails_leaves_nothing(tmp_path, monkeypatch):
    await drawn(tmp_path / "data")
    before = sorted(os.listdir(tmp_path))

    def told(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(tmp_path / "data", tmp_path / "copy", told)
    assert sorted(os.listdir(tmp_path)) == before


async def test_what_the_journal_forgets_meanwhile_is_read_again(tmp_path, monkeypatch):
    """The store is read, then the server stores and forgets, then the journal is read."""
    await drawn(tmp_path / "data")
    copy_journal, times = backups._copy_journal, 0

    def slow(data: Path, to: Path) -> None:
        nonlocal times
        times += 1
        if times == 1:
            (tmp_path / "data/lock").rename(tmp_path / "lock")  # as if it were the server's
            stored(tmp_path / "data")
            (tmp_path / "lock").rename(tmp_path / "data/lock")
        copy_journal(data, to)

    def stored(data: Path) -> None:
        import subprocess
        import sys

        code = (
            "import asyncio, sys; from pathlib import Path\n"
            "from polypaint.runtime.recovery import recover\n"
            "from polypaint.store.folder import DataFolder\n"
            "async def main():\n"
            "    data = DataFolder(Path(sys.argv[1]))\n"
            "    await recover(data.store, data.journal)\n"
            "    await data.close()\n"
            "asyncio.run(main())\n"
        )
        subprocess.run([sys.executable, "-c", code, str(data)], check=True)

    monkeypatch.setattr(backups, "_copy_journal", slow)
    assert backup(tmp_path / "data", tmp_path / "copy", quiet) == []
    assert times == 2
    assert await recovered(tmp_path / "copy") == await recovered(tmp_path / "data")


def test_a_database_is_backed_up_with_its_own_tools(tmp_path):
    tmp_path.joinpath("data").mkdir()
    answer = command(
        "backup", tmp_path / "x", "--data", tmp_path / "data", "--store", "mongodb://x/y"
    )
    assert answer.returncode == 2
    assert "mongodump" in answer.stderr
    shutil.rmtree(tmp_path / "data")
