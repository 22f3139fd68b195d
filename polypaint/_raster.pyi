from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint32]
Points: TypeAlias = npt.NDArray[np.int32]

def stamp(canvas: Pixels, points: Points, size: int, colour: int) -> None: ...
def fill(canvas: Pixels, x: int, y: int, colour: int) -> int: ...
def place(
    canvas: Pixels,
    source: Pixels,
    offset: tuple[int, int],
    cut: tuple[int, int],
    target: tuple[int, int, int, int],
    angle: float,
) -> None: ...
def squares(pixels: Pixels, background: int, spill: bool) -> tuple[Pixels, Points, Points]: ...
