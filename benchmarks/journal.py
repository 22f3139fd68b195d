"""What one group commit costs: a row of SQLite against a plain write to a file.

python benchmarks/journal.py
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from polypaint.store.sqlite_journal import SqliteJournal

ROUNDS = 2000


def median_us(work: Callable[[int], object]) -> float:
    times = []
    for i in range(ROUNDS):
        began = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        print(f"{'bytes':>8}{'journal':>12}{'write(2)':>12}   µs, median of {ROUNDS}")
        for size in (300, 3000, 30_000):
            data = os.urandom(size)
            path = Path(folder, f"{size}.db")
            journal = SqliteJournal(path)
            ours = median_us(lambda i, j=journal, d=data: j.commit([(i, d)]))  # type: ignore[misc]
            journal.close()
            file = os.open(Path(folder, "plain"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            plain = median_us(lambda _, f=file, d=data: os.write(f, d))  # type: ignore[misc]
            os.close(file)
            print(f"{size:8}{ours:12.1f}{plain:12.1f}")


if __name__ == "__main__":
    main()
