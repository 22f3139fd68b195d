"""What is given to others: an sdist from which a wheel can be built, and what is in the wheel."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

from .sources import ROOT, sources

CLIENT = ROOT / "polypaint/web/static/client"
MAKES = ("Makefile", "pyproject.toml", "setup.py", "ci/needs.py")


def test_the_sdist_builds_a_wheel_with_everything_in_it(tmp_path):
    clone = tmp_path / "clone"
    for path in sources():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, clone / path)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, clone]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    assert version("polypaint-fast") in sdist.name
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {str(path) for path in sources()} <= names, "make test must work from it"
    assert not [name for name in names if "node_modules" in name]
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    for module in ("_codec", "_fanout", "_framing", "_raster"):
        assert any(name.startswith(f"polypaint/{module}.cpython") for name in found)
        assert f"polypaint/{module}.pyi" in found
    client = {str(path.relative_to(ROOT)) for path in CLIENT.iterdir()}
    assert {"polypaint/py.typed", "polypaint/paint/senders.py"} | client <= found
    assert not [n for n in found if n.endswith((".c", ".pyx", ".pxd")) or n.startswith("tests")]


def test_the_projects_files_are_found_without_git():
    names = {str(path) for path in sources()}
    assert {"Makefile", "ci/needs.py", ".gitignore", "tests/sources.py"} <= names
    assert not [name for name in names if name.startswith((".git/", ".venv/", "build/"))]


def test_make_without_a_compiler_ends_with_the_line_that_helps(tmp_path):
    for name in MAKES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    # Not the environment of the tests: what make itself would find.
    environment = os.environ | {"CC": "no-such-compiler"}
    python = str(sys._base_executable)  # type: ignore[attr-defined]
    command = ["make", "install", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert "no-such-compiler" in last
    assert "apt install python3-venv python3-dev gcc make" in last
    assert not (tmp_path / ".venv").exists()


def test_an_editable_install_is_one_line_in_a_pth_file():
    """setuptools warns, in a box, of editable installs that need more."""
    installed = Path(sysconfig.get_path("purelib"))
    assert not list(installed.glob("__editable___polypaint_fast*_finder.py"))


def test_the_javascript_client_has_our_version():
    package = json.loads((CLIENT / "package.json").read_text())
    assert package["version"] == version("polypaint-fast")
