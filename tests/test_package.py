"""What is given to others: an sdist from which a wheel can be built, and what is in the wheel."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_sdist_builds_a_wheel_with_everything_in_it(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, clone]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    assert version("polypaint-fast") in sdist.name
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"polypaint/_codec.pyx", "polypaint/_raster.pyx", "docs/protocol.md"} <= names
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    for module in ("_codec", "_raster"):
        assert any(name.startswith(f"polypaint/{module}.cpython") for name in found)
        assert f"polypaint/{module}.pyi" in found
    assert {"polypaint/py.typed", "polypaint/paint/senders.py"} <= found
    assert not [n for n in found if n.endswith((".c", ".pyx")) or n.startswith("tests")]
