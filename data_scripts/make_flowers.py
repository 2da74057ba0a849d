"""Draw a folder with one sub-folder a class: five kinds of flowers, in colour.

It stands for a folder of your own where a notebook needs one. Nothing is downloaded, and the same arguments
give the same pictures. Run it from the project's folder,

    python -m data_scripts.make_flowers --help

or call `ensure()` from a notebook, which draws the pictures once and afterwards only finds them.

A made folder holds `images/daisy/00.png` and so on (8-bit colour, of several sizes), `labels.csv` and
`dataset.json`.
"""

import argparse
import math
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from course_utils.checks import check_whole

from ._folders import Maker, default_folder, printed, write_labels

# Name -> the petals' colour, how many there are, and how broad each is, in parts of the blossom's radius.
FLOWERS = {
    "daisy": ((240, 238, 228), 16, 0.22),
    "iris": ((98, 60, 190), 6, 0.42),
    "marigold": ((240, 165, 30), 11, 0.34),
    "poppy": ((214, 48, 34), 4, 0.80),
    "rose": ((232, 120, 165), 8, 0.52),
}
MAKER = Maker("data_scripts.make_flowers", version=1, pictures=r"[a-z]+(/\d+\.png)?")
EACH, SEED = 40, 0


def _draw(name: str, rng: np.random.Generator) -> Image.Image:
    """One flower somewhere in a picture, on soil or grass, in the light of some hour of the day."""
    (height, width), (colour, petals, breadth) = rng.integers(96, 161, 2), FLOWERS[name]
    ground = ((52, 92, 42), (96, 78, 52), (70, 104, 84))[rng.integers(3)]
    picture = Image.new("RGB", (int(width), int(height)), ground)
    pen = ImageDraw.Draw(picture)
    radius = rng.uniform(0.22, 0.38) * min(height, width)
    x, y = rng.uniform(0.35, 0.65) * width, rng.uniform(0.35, 0.60) * height
    pen.line((x, y, x + rng.normal(0, 12), height), fill=(40, 120, 40), width=4)
    start = rng.uniform(0, 2 * math.pi)
    for petal in range(petals):
        angle = start + 2 * math.pi * petal / petals
        size = breadth * radius
        at_x, at_y = x + (radius - size) * math.cos(angle), y + (radius - size) * math.sin(angle)
        shade = tuple(int(part * rng.uniform(0.85, 1.0)) for part in colour)
        pen.ellipse((at_x - size, at_y - size, at_x + size, at_y + size), fill=shade)
    middle = 0.24 * radius
    pen.ellipse((x - middle, y - middle, x + middle, y + middle), fill=(232, 196, 60))
    pixels = np.asarray(picture, np.float32) * rng.uniform(0.7, 1.1) + rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _write(folder: Path, wanted: dict[str, int]) -> None:
    """Write the whole folder, which is new."""
    rows = []
    for label, name in enumerate(FLOWERS):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(wanted["each"]):
            file = f"images/{name}/{number:02}.png"
            _draw(name, np.random.default_rng((wanted["seed"], label, number))).save(folder / file)
            rows.append((file, label, name))
    write_labels(folder / "labels.csv", ("file", "label", "class"), rows)
    MAKER.mark(folder, wanted, images=len(rows))


def ensure(
    folder: str | os.PathLike | None = None, *, each: int = EACH, seed: int = SEED, force: bool = False
) -> Path:
    """Draw the pictures unless they are there already; return the folder that has one sub-folder a class.

    folder: where they are to be, with their labels.csv. None: where the environment variable COURSE_FLOWERS
        says, or data/flowers in the project's folder, or in the current one outside the project.
    each: how many pictures of each flower, 1 to 10 000.
    seed: 0 or more; another seed gives other pictures.
    force: draw again, in place of a folder that this program made, whatever its arguments were.

    Raises ValueError for an argument that is not as described, and FileExistsError if the folder holds
    something else: files not made by this program, or pictures made with other arguments.

    Example:
        >>> sorted(path.name for path in ensure().iterdir())
        ['daisy', 'iris', 'marigold', 'poppy', 'rose']
    """
    wanted = {"each": check_whole("each", each, 1, 10_000), "seed": check_whole("seed", seed, 0)}
    folder = folder or os.environ.get("COURSE_FLOWERS") or default_folder("flowers")
    folder = Path(folder).expanduser().resolve()
    return MAKER.make(folder, wanted, force, lambda new: _write(new, wanted)).parent / "images"


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MAKER.program}",
        description="Draw five kinds of flowers, in colour, one sub-folder a kind. The same arguments give "
        "the same pictures.",
        epilog="A finished folder is reused. Prints the path of the folder that holds the sub-folders.",
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="default: data/flowers in the project")
    parser.add_argument("--each", type=int, default=EACH, metavar="N", help=f"of each flower; {EACH}")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S", help="another seed, other pictures")
    parser.add_argument("--force", action="store_true", help="replace FOLDER, if this program made it")
    given = parser.parse_args(arguments)
    return printed(
        parser.prog, lambda: ensure(given.folder, each=given.each, seed=given.seed, force=given.force)
    )


if __name__ == "__main__":
    sys.exit(main())
