from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Pixels: TypeAlias = npt.NDArray[np.uint32]
_Points: TypeAlias = npt.NDArray[np.int32]

def stamp(canvas: _Pixels, points: _Points, size: int, colour: int) -> None: ...
def fill(canvas: _Pixels, x: int, y: int, colour: int) -> int: ...
def turn(angle: float) -> tuple[float, float]: ...
def place(
    canvas: _Pixels,
    source: _Pixels,
    offset: tuple[int, int],
    cut: tuple[int, int],
    target: tuple[int, int, int, int],
    angle: float,
) -> None: ...
def squares(pixels: _Pixels, background: int, spill: bool) -> tuple[_Pixels, _Points, _Points]: ...
