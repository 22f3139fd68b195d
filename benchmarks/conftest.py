"""The benchmarks compare with the tests' decoder in plain Python: `tests` must be found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
