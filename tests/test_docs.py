"""The documents are true: generated files are fresh, commands exist, files are where they say."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from polypaint.settings import Settings

from .sources import ROOT, sources

DOCS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_generated_files_are_fresh():
    done = subprocess.run(
        [sys.executable, "ci/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run `make generate`"


def test_the_changelog_knows_this_version():
    assert f"## {version('polypaint-fast')}" in (ROOT / "CHANGELOG.md").read_text()


def test_architecture_is_short():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) < 200


@pytest.mark.parametrize("document", DOCS, ids=lambda p: p.name)
def test_links_and_paths_lead_somewhere(document):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (document.parent / link).exists(), link
    for path in re.findall(r"`((?:polypaint|tests|docs|examples|ci|benchmarks)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_every_setting_is_documented():
    text = (ROOT / "docs/operating.md").read_text()
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in text, name


def test_the_readmes_python_runs(process):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = example.replace("127.0.0.1:7600", process.paint)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1 stroke on the canvas"


def test_the_project_speaks_of_itself_only():
    words = "|".join(("share" + "d/spec", "share" + "d/seeds", r"\.librar" + "y", "/wor" + "k/"))
    found = [
        path
        for path in sources()
        if re.search(words, (ROOT / path).read_bytes().decode(errors="replace"))
    ]
    assert not found
