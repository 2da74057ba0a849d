"""What `index_folder` and `read_labels` take for many files: time and memory, each in a fresh child.

    .venv/bin/python tests/benchmarks/many_files.py [FILES]

Makes FILES tiny pictures (200,000 unless you say otherwise) in five classes in a temporary folder, then a
quarter and a half of them, so that the table shows whether both grow in step.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import run_limited  # noqa: E402

CLASSES = 5


def make(folder: Path, n: int) -> Path:
    """So many pictures of 8 x 8 pixels, no two alike, a hundred to a patient's folder."""
    for at in range(n):
        place = folder / f"class {at % CLASSES}" / f"patient {at // 500:05}"
        if at % 500 < CLASSES:
            place.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((8, 8), np.uint8)
        pixels.flat[:4] = at % 256, at // 256 % 256, at // 65536, 255
        Image.fromarray(pixels).save(place / f"{at:07}.png", compress_level=1)
    return folder


def indexed(folder: str) -> float:
    from data_scripts.index_folder import index

    start = time.perf_counter()
    index(folder, patient=r"patient (\d+)", progress=False)
    return time.perf_counter() - start


def read(labels_csv: str) -> float:
    from course_utils import read_labels

    start = time.perf_counter()
    assert len(read_labels(labels_csv).classes) == CLASSES
    return time.perf_counter() - start


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    imports = ("data_scripts.index_folder", "tqdm", "PIL.PngImagePlugin", "numpy")
    print("| files | `index_folder` | | `read_labels` | |\n|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as home:
        for n in (most // 4, most // 2, most):
            folder = make(Path(home, str(n)), n)
            cells = []
            for function, argument in ((indexed, folder), (read, folder / "labels.csv")):
                outcome = run_limited(function, str(argument), imports=imports, timeout=3600)
                assert outcome.ended == "finished", outcome.error
                cells += [f"{outcome.value:.1f} s", f"{outcome.growth / 1e6:.0f} MB"]
            print(f"| {n:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
