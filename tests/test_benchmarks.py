"""The programs that attack a server run, and see what there is to see. No bar is judged here."""

import json
import subprocess
import sys

import pytest

from .sources import ROOT

FLOOD = ["--rounds", "1", "--seconds", "0.2", "--connections", "1"]


@pytest.mark.parametrize("kind", ["pings", "large stamps"])
def test_a_flood_is_measured(kind, tmp_path):
    found = tmp_path / "found.json"
    command = [sys.executable, ROOT / "benchmarks/flood.py", "--kinds", kind, *FLOOD]
    done = subprocess.run(
        [*command, "--json", found], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode in (0, 1), done.stderr
    (line,) = json.loads(found.read_text())
    assert not line["error"]
    assert line["kind"] == kind
    assert line["before_ms"] > 0
    assert line["sent_mib"] > 0


def test_an_unknown_kind_of_flood_is_told(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/flood.py"), "--kinds", "chat"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there are chat, 60 kB" in done.stderr
