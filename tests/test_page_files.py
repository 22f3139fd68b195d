"""The page's files: small, nothing inline; its languages and QR codes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zxingcpp

from .javascript import node
from .sources import ROOT

PAGE = ROOT / "polypaint/web/static/page"
CSS_BYTES_MAX = 20_000
LINES_MAX = 400
IMPORT_LEVELS_MAX = 4
IMPORT = re.compile(r'^(?:import|export)\b[^"]*?(?:\bfrom )?"(\.[^"]+)";', re.MULTILINE)


def modules() -> list[Path]:
    """The modules of the page but for the drawing surface's."""
    return [path for path in PAGE.rglob("*.js") if "surface" not in path.relative_to(PAGE).parts]


def imported(path: Path) -> list[Path]:
    """What a module imports."""
    return [(path.parent / name).resolve() for name in IMPORT.findall(path.read_text())]


# ------------------------------------------------------------ files
def test_the_stylesheet_is_small():
    assert len((PAGE / "style.css").read_bytes()) < CSS_BYTES_MAX


def test_modules_are_short():
    assert not [path.name for path in modules() if len(path.read_text().splitlines()) > LINES_MAX]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere():
    shell = (PAGE / "index.html").read_text()
    assert not re.findall(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", shell)
    everything = [shell, (PAGE / "style.css").read_text(), *(p.read_text() for p in modules())]
    namespaces = {"http://www.w3.org/2000/svg"}
    for text in everything:
        assert set(re.findall(r"https?://[^\"' ]+", text)) <= namespaces
        assert "innerHTML" not in text


def test_imports_have_few_levels():
    level = seen = {PAGE / "main.js"}
    for _ in range(IMPORT_LEVELS_MAX):
        level = {each for path in level for each in imported(path)} - seen
        seen = seen | level
    assert PAGE / "ui/dom.js" in seen
    assert not {each for path in level for each in imported(path)} - seen


# ------------------------------------------------------------ languages
def texts() -> dict[str, dict[str, object]]:
    """Every text of the page, by language."""
    script = (
        f"const {{ en }} = await import({json.dumps(str(PAGE / 'i18n/en.js'))});"
        f"const {{ fr }} = await import({json.dumps(str(PAGE / 'i18n/fr.js'))});"
        "console.log(JSON.stringify({ en, fr }));"
    )
    return json.loads(node("--input-type=module", "--eval", script))


def placeholders(text: object) -> set[str]:
    return set(re.findall(r"\{\w+\}", json.dumps(text)))


def test_both_languages_say_everything():
    english, french = texts().values()
    assert english.keys() == french.keys()
    for key, text in english.items():
        assert type(text) is type(french[key]), key
        assert placeholders(text) == placeholders(french[key]), key
        assert all(json.loads(json.dumps(french[key])) or [""]), key


def test_no_text_is_left_over():
    using = [path for path in modules() if path.name not in ("en.js", "fr.js")]
    used = {key for path in using for key in re.findall(r'"(\w+)"', path.read_text())}
    assert not texts()["en"].keys() - used


# ------------------------------------------------------------ QR codes
@pytest.mark.parametrize("length", [1, 14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 600, 1500])
def test_a_qr_code_can_be_read(length):
    text = "http://127.0.0.1:7680/d/Quiet%20Harbour#é".ljust(length, "x")[:length]
    script = (
        f"const {{ qrCode }} = await import({json.dumps(str(PAGE / 'ui/qr.js'))});"
        f"console.log(JSON.stringify(qrCode({json.dumps(text)})));"
    )
    squares = np.pad(np.array(json.loads(node("--input-type=module", "--eval", script))), 4)
    picture = np.where(squares, 0, 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    (found,) = zxingcpp.read_barcodes(picture)
    assert found.text == text
    assert found.format == zxingcpp.BarcodeFormat.QRCode
