"""Prints what this machine lacks to install polypaint-fast, in one line; nothing if it has all.

The Makefile runs it with the Python that is to be used, of whatever version; so nothing here is
newer than Python 3.6, and nothing is imported that is not in every standard library.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PACKAGES = "Debian, Ubuntu: apt install python3-venv python3-dev gcc make"


def lacking() -> str:
    """The first thing that is not here; empty if everything is."""
    has = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info < (3, 11):  # noqa: UP036 - it may well be older
        return (
            f"Python 3.11 or newer is needed; this is {has}. Name another: make PYTHON=python3.12"
        )
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        return f"Python {has} comes without its module venv. {PACKAGES}"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}). {PACKAGES}"
    if not Path(sysconfig.get_config_var("INCLUDEPY"), "Python.h").exists():
        return f"Python {has} comes without its C headers (Python.h). {PACKAGES}"
    return ""


print(lacking())
