"""Draw the course's pictures: radiograph-like chest pictures and their labels.csv.

The pictures are drawn by a program: no patient, no diagnosis. Nothing is downloaded, and the same
arguments give the same pictures. Run it from the project's folder,

    python -m data_scripts.make_dataset --help

or call `ensure()` from a notebook, which draws the pictures once and afterwards only finds them.

A made folder holds `images/p0012_1.png` and so on (8-bit grey, square), `labels.csv` and `dataset.json`.
The columns of labels.csv:

file     the picture, relative to the folder, with forward slashes; the rows are sorted by it
label    1 with a lesion (one soft roundish bright spot in one lung), 0 without
side     where the lesion lies in the picture as stored: -1 left half, +1 right half, 0 no lesion.
         As in a radiograph the patient faces the viewer, so the picture's right half is the patient's
         left: there lie the heart and the "L" marker.
patient  whose anatomy is drawn; a patient has 2 to 6 pictures, all in one split
split    train, validation or test, about 60/20/20
x,y      the middle of the lesion, in parts of the picture's width and height, from the upper left corner
radius   the lesion's radius, in parts of the width; x, y and radius are empty without a lesion
"""

import argparse
import itertools
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from course_utils.checks import check_whole

from ._folders import Maker, default_folder, printed, write_labels

MAKER = Maker("data_scripts.make_dataset", version=2, pictures=r"p\d{4,}_[1-6]\.png")
COLUMNS = ("file", "label", "side", "patient", "split", "x", "y", "radius")
BOUNDS = {"images": (16, 1_000_000), "size": (32, 4096), "seed": (0, 2**63 - 1)}
IMAGES, SIZE, SEED = 720, 256, 0


class Shot(NamedTuple):
    """One picture to draw: `number` counts a patient's pictures from 1; the rest as in labels.csv."""

    patient: int
    number: int
    label: int
    side: int
    split: str

    @property
    def file(self) -> str:
        return f"images/p{self.patient:04d}_{self.number}.png"


def _shots(images: int, seed: int) -> list[Shot]:
    """Who is pictured how often. A picture of a given name is the same whatever the number of images."""
    counts: list[int] = []
    while (left := images - sum(counts)) > 0:
        counts.append(min(left, int(np.random.default_rng((seed, 0, len(counts) + 1)).integers(2, 7))))
    if counts[-1] == 1:  # nobody is pictured only once
        counts[-2:] = [3] if counts[-2] == 2 else [counts[-2] - 1, 2]
    shots = []
    for patient, count in enumerate(counts, 1):
        rng = np.random.default_rng((seed, 1, patient))
        # One lesion in each pair of a patient's pictures, on alternate sides, and at random within the pair:
        # balanced in every split, yet neither the patient nor the place in the order tells the label.
        labels = np.concatenate([rng.permutation(2) for _ in range(3)])
        first_side = rng.choice((-1, 1))
        block, place = divmod(patient - 1, 5)
        splits = ["train", "validation", "test", "train", "train"]
        if block:  # the first patients stay in this order, so that even the smallest set has all three
            splits = list(np.random.default_rng((seed, 2, block)).permutation(splits))
        for k in range(count):
            side = int(labels[k] * first_side * (-1) ** (k // 2))
            shots.append(Shot(patient, k + 1, int(labels[k]), side, str(splits[place])))
    return sorted(shots, key=lambda shot: shot.file)


# The drawing. Body coordinates: x to the picture's right, y down; the unposed picture spans -1 to 1 in both.
# Everything is a function of these coordinates, so a picture looks the same at any size.
SPAN = 1.25  # a patient is drawn once from -SPAN to SPAN, to leave a margin for each picture's pose


def _step(distance, softness):
    """0 where distance is negative, 1 where it is positive, with a soft edge."""
    z = np.clip(distance * (0.6 / softness), -1, 1)
    return 0.5 + z * (0.75 - 0.25 * z * z)


def _bump(distance, width):
    z = distance * (1 / width)
    return np.exp(-z * z)


def _body(seed: int, patient: int) -> SimpleNamespace:
    """The anatomy that all pictures of a patient share."""
    rng = np.random.default_rng((seed, 3, patient))
    vary = rng.uniform
    return SimpleNamespace(
        lung_width=vary(0.68, 0.76),
        apex=vary(-0.84, -0.76),
        apex_x=vary(0.28, 0.33),
        base_left=vary(0.44, 0.56),  # the dome in the picture's left half is the higher one
        base_drop=vary(0.04, 0.10),
        dome=vary(0.5, 0.9),
        hilum=vary(-0.08, 0.02),
        heart_x=vary(0.13, 0.19),
        heart_y=vary(0.28, 0.37),
        heart_long=vary(0.36, 0.45),
        heart_short=vary(0.25, 0.31),
        heart_tilt=vary(0.5, 0.75),
        waist=vary(0.86, 0.96),
        fat=vary(0.42, 0.56),
        rib_gap=vary(0.165, 0.195),
        rib_phase=(vary(), vary()),
        rib_curve=vary(0.55, 0.85),
        rib_tone=vary(0.03, 0.055),
        clavicle=vary(-0.68, -0.60),
        clavicle_slope=vary(0.06, 0.20),
        stomach=(vary(0.34, 0.5), vary(0.04, 0.11)),
    )


def _vessels(rng: np.random.Generator, body: SimpleNamespace) -> Image.Image:
    """The vessels that branch from both hila, as a soft grey map, the same for all picture sizes."""
    pixels = 480
    zoom = pixels / 2 / SPAN
    canvas = Image.new("L", (pixels, pixels))
    draw = ImageDraw.Draw(canvas)

    def branch(x, y, angle, width, depth):
        for _ in range(int(rng.integers(3, 6))):
            angle += rng.normal(0, 0.16)
            step = rng.uniform(0.035, 0.06)
            nx, ny = x + step * math.cos(angle), y + step * math.sin(angle)
            ends = [(v + SPAN) * zoom for v in (x, y, nx, ny)]
            draw.line(ends, fill=int(min(255, 60 + 26 * width)), width=max(1, round(width)))
            x, y, width = nx, ny, width * 0.91
        if rng.random() < 0.35:  # a vessel seen end-on: a small bright dot
            r = 0.6 * width + 1.2
            cx, cy = (x + SPAN) * zoom, (y + SPAN) * zoom
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=190)
        if depth:
            for turn in (-1, 1):
                branch(x, y, angle + turn * rng.uniform(0.25, 0.6), width * 0.8, depth - 1)

    for side in (-1, 1):
        for slope in np.linspace(-1.15, 1.25, 6):
            angle = slope + rng.normal(0, 0.12)
            angle = angle if side > 0 else math.pi - angle
            branch(side * 0.15, body.hilum + 0.05 * slope, angle, rng.uniform(4.5, 6.5), 2)
    return canvas.filter(ImageFilter.GaussianBlur(1.3))


def _heart(body, x, y):
    """Above 0 inside the heart, 1 at its middle."""
    c, s = math.cos(body.heart_tilt), math.sin(body.heart_tilt)
    dx, dy = x - body.heart_x, y - body.heart_y
    return 1 - np.sqrt(
        ((c * dx + s * dy) / body.heart_long) ** 2 + ((c * dy - s * dx) / body.heart_short) ** 2
    )


def _lungs(body, x, y):
    """How much air there is, 0 to 1, and the height of the diaphragm at x."""
    across = np.abs(x)
    up = np.clip((0.35 - y) / (0.35 - body.apex + 0.02), 0, 1)
    outer = body.apex_x + (body.lung_width - body.apex_x) * (1 - up**2.2) ** 0.7 + 0.04 * y
    inner = 0.115 + 0.05 * _bump(y - body.hilum, 0.16) + 0.05 * np.clip(y, 0, 1)
    top = body.apex + 1.6 * (across - body.apex_x) ** 2
    base = body.base_left + body.base_drop * _step(x, 0.08) + body.dome * (across - 0.36) ** 2
    air = _step(outer - across, 0.025) * _step(across - inner, 0.025)
    air = air * _step(base - y, 0.016) * _step(y - top, 0.045)
    return air * (1 - 0.93 * _step(_heart(body, x, y), 0.06)), base


def _tissue(body, x, y):
    """How much the body holds back at (x, y): about 0 in air, 1 in bone."""
    across = np.abs(x)
    air, base = _lungs(body, x, y)
    # The outline: neck, shoulders, and below the armpits the flanks.
    shoulder = -1.31 + 0.44 * _step(across - 0.34, 0.10) + 0.03 * _bump(across - 0.5, 0.2) + 0.16 * across
    flank = body.waist + 0.4 * _step(-0.28 - y, 0.12)
    inside = _step(y - shoulder, 0.05) * _step(flank - across, 0.03)
    middle = _bump(x, 0.62)
    soft = body.fat + 0.12 * middle
    soft = soft + 0.17 * _step(y - base, 0.02) * _step(0.9 - across, 0.1)  # the belly
    soft = soft + 0.13 * _step(0.13 + 0.03 * y - across, 0.03)  # great vessels and spine
    soft = soft + 0.06 * _step(0.085 - across, 0.012) * (1 + 0.35 * np.sin(y * 46))  # vertebrae
    soft = soft + 0.12 * np.clip(_heart(body, x, y) * 2.5, 0, 1) ** 0.5
    soft = soft + 0.08 * _bump(np.hypot(x - 0.11, y + 0.33), 0.10)  # the arch of the aorta
    soft = soft - 0.15 * _bump(x + 0.01, 0.045) * _step(-0.3 - y, 0.06)  # the windpipe
    bubble_x, bubble_y = body.stomach
    bubble = np.hypot((x - bubble_x) / 0.17, (y - base - bubble_y) / 0.07)
    soft = soft - 0.16 * _step(1 - bubble, 0.2)
    density = soft * (1 - (0.60 + 0.08 * y) * air)

    cage = _step(0.80 + 0.06 * y - 0.55 * np.clip(-0.35 - y, 0, 1) - across, 0.03) * _step(
        across - 0.07, 0.02
    )
    cage = cage * _step(y + 0.80, 0.05) * _step(0.80 - y, 0.1)
    back = (y + 0.36 * across - body.rib_curve * across**2) / body.rib_gap + body.rib_phase[0]
    front = (y + 0.62 * across - 0.18 * across**2) / (1.12 * body.rib_gap) + body.rib_phase[1]
    for phase, tone in ((back, 1.0), (front, 0.55 * _step(across - 0.36, 0.08))):
        wave = np.cos(2 * np.pi * phase)
        rib = _step(wave - 0.35, 0.2) + 0.55 * _bump(wave - 0.35, 0.22)  # the rims are denser
        density = density + body.rib_tone * tone * cage * rib * (0.75 + 0.35 * across)
    rise = body.clavicle - body.clavicle_slope * across + 0.045 * np.sin(across * 6)
    ends = _step(across - 0.07, 0.02) * _step(0.82 - across, 0.04)
    bar = _step(0.036 - np.abs(y - rise), 0.012) + 0.5 * _bump(np.abs(y - rise) - 0.034, 0.012)
    density = density + 0.10 * ends * bar
    blade = _step(across - 0.70 - 0.25 * (y + 0.45), 0.015) * _step(0.05 - y, 0.1) * _step(y + 0.62, 0.05)
    density = density + 0.05 * blade
    joint = np.hypot(across - 1.0, y + 0.66)
    density = density + 0.13 * _step(0.14 - joint, 0.02)
    return inside * density, air


def _mottle(rng: np.random.Generator, size: int):
    """Soft uneven shading at several scales, the same at every picture size.

    The broadest keep a sum over the lung from telling that there is a lesion: its shape has to be learnt.
    """
    total = np.zeros((size, size), np.float32)
    for cells, weight in ((5, 0.06), (9, 0.025), (20, 0.009), (56, 0.007)):
        coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        total += weight * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    return total


def _lesion(rng: np.random.Generator, body, side: int, place):
    """A lesion's middle (x, y in body coordinates), radius and strength, well inside that lung."""
    for _ in range(1000):
        x, y = side * rng.uniform(0.16, 0.68), rng.uniform(-0.7, 0.6)
        radius, strength = rng.uniform(0.09, 0.13), rng.uniform(0.36, 0.48)
        around = np.linspace(0, 2 * np.pi, 9)
        air, _ = _lungs(body, x + 0.8 * radius * np.cos(around), y + 0.8 * radius * np.sin(around))
        if air.min() > 0.6 and side * place(x, y)[0] > radius:
            return x, y, radius, strength
    raise AssertionError("no place for a lesion")  # the lungs' bounds above leave plenty


def _patient(seed: int, patient: int, size: int) -> tuple[SimpleNamespace, Image.Image]:
    """A patient's anatomy, and how it looks unposed, from -SPAN to SPAN, for pictures of that size."""
    body = _body(seed, patient)
    pixels = round(size * SPAN)
    grid = ((np.arange(pixels, dtype=np.float32) + 0.5) * (2 / pixels) - 1) * SPAN
    # In strips, because small arrays stay in the processor's cache: several times faster.
    strips = [_tissue(body, grid[None, :], rows[:, None]) for rows in np.array_split(grid, pixels // 32 + 1)]
    density, air = (np.concatenate(parts) for parts in zip(*strips, strict=True))
    vessels = _vessels(np.random.default_rng((seed, 4, patient)), body)
    vessels = np.asarray(vessels.resize((pixels, pixels), Image.Resampling.BILINEAR), np.float32)
    return body, Image.fromarray(density + vessels * (0.15 / 255) * (0.25 + 0.75 * air))


def _draw(shot: Shot, size: int, seed: int, patient=None, with_lesion: bool = True):
    """One picture, and its lesion's middle and radius in pixels (None without one).

    `with_lesion=False` draws the same picture, grain and all, without its lesion.
    """
    body, unposed = patient or _patient(seed, shot.patient, size)
    rng = np.random.default_rng((seed, 5, shot.patient, shot.number))
    vary = rng.uniform
    turn, scale = rng.normal(0, 0.025), vary(0.95, 1.12)
    shift_x, shift_y = vary(-0.07, 0.07), vary(-0.07, 0.07)
    c, s = math.cos(turn), math.sin(turn)

    def place(x, y):  # from body to picture
        return scale * (c * x - s * y) + shift_x, scale * (s * x + c * y) + shift_y

    def unplace(x, y):
        x, y = (x - shift_x) / scale, (y - shift_y) / scale
        return c * x + s * y, c * y - s * x

    # Pillow wants to know where a pixel of the picture, counted from its upper left corner, lies on the map.
    zoom, (left, top) = unposed.width / 2 / SPAN, unplace(-1, -1)
    a, b = c * zoom * 2 / size / scale, s * zoom * 2 / size / scale
    affine = (a, b, (left + SPAN) * zoom, -b, a, (top + SPAN) * zoom)
    density = np.array(
        unposed.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    )
    density += _mottle(rng, size) * (0.3 + density)

    spot = None
    grid = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    if shot.side:
        lx, ly, radius, strength = _lesion(rng, body, shot.side, place)
        lobes, flat = (rng.normal(0, 0.10), rng.normal(0, 0.07)), vary(0.88, 1.14)
        cx, cy = place(lx, ly)
        spot = ((cx + 1) * size / 2, (cy + 1) * size / 2, radius * scale * size / 2)
        if with_lesion:
            cols, rows = np.abs(grid - cx) < 3 * radius, np.abs(grid - cy) < 3 * radius
            x, y = unplace(grid[None, cols], grid[rows, None])
            dx, dy = (x - lx) * flat, (y - ly) / flat
            angle = np.arctan2(dy, dx)
            lobed = 1 + lobes[0] * np.sin(2 * angle + 1) + lobes[1] * np.cos(3 * angle)
            density[np.ix_(rows, cols)] += strength * np.exp(-((np.hypot(dx, dy) / (radius * lobed)) ** 3))

    # Exposure: darkest and brightest grey and the film's curve are drawn anew for each picture.
    black, white, gamma = vary(0.0, 0.14), vary(0.68, 1.0), vary(0.85, 1.2)
    film = black + (white - black) * np.clip(density, 0, 1.1) ** gamma
    mark_x, mark_y = vary(0.80, 0.86), vary(-0.90, -0.82)
    x, y = grid[None, :] - mark_x, grid[:, None] - mark_y
    # Grey and thin: a glaring L would be the strongest spot of every picture, and all a network looks at.
    film[(np.abs(x) < 0.011) & (np.abs(y) < 0.055)] += 0.35
    film[(np.abs(x - 0.036) < 0.025) & (np.abs(y - 0.044) < 0.011)] += 0.35
    film += vary(0.010, 0.022) * rng.standard_normal(film.shape, np.float32)
    return np.clip(film * 255 + 0.5, 0, 255).astype(np.uint8), spot


def _write(folder: Path, wanted: dict[str, int], progress: bool | None) -> None:
    """Write the whole data set into a new folder."""
    images, size, seed = wanted["images"], wanted["size"], wanted["seed"]
    shots = _shots(images, seed)
    (folder / "images").mkdir(parents=True)

    spots = {}

    def write_patient(own: list[Shot]) -> int:
        patient = _patient(seed, own[0].patient, size)
        for shot in own:
            picture, spot = _draw(shot, size, seed, patient)
            spots[shot.file] = [f"{pixels / size:.4f}" for pixels in spot] if spot else [""] * 3
            Image.fromarray(picture).save(
                folder / shot.file, compress_level=1
            )  # grain hardly compresses anyway
        return len(own)

    groups = [list(own) for _, own in itertools.groupby(shots, key=lambda shot: shot.patient)]
    hide = None if progress is None else not progress  # None: hide unless standard error is a terminal
    bar = tqdm(total=images, desc="drawing", unit="picture", disable=hide)
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
    try:
        with bar:
            for done in pool.map(write_patient, groups):
                bar.update(done)
    finally:
        pool.shutdown(cancel_futures=True)
    rows = ((s.file, s.label, s.side, f"p{s.patient:04d}", s.split, *spots[s.file]) for s in shots)
    write_labels(folder / "labels.csv", COLUMNS, rows)
    MAKER.mark(folder, wanted)


def _course_data(named: str) -> Path:
    path = Path(named).expanduser().resolve()
    labels = path / "labels.csv" if path.is_dir() else path
    if labels.name != "labels.csv" or not labels.is_file():
        raise FileNotFoundError(
            f"the environment variable COURSE_DATA is set to {named!r}, but there is no {labels}. "
            "It must name a labels.csv or the folder that holds one; unset it to have pictures drawn."
        )
    return labels


def is_made(labels_csv: str | os.PathLike) -> bool:
    """Whether this labels.csv belongs to pictures drawn by this program, rather than to a learner's own.

    labels_csv: the path of a labels.csv. False if it does not exist or has no dataset.json of ours beside it.
    """
    path = Path(labels_csv)
    return path.is_file() and MAKER.marker(path.parent) is not None


def caption(labels_csv: str | os.PathLike) -> str:
    """What to write below pictures of this labels.csv: that they are drawn; nothing below your own."""
    return "Drawn by a program: no patient, no diagnosis." if is_made(labels_csv) else ""


def ensure(
    folder: str | os.PathLike | None = None,
    *,
    images: int = IMAGES,
    size: int = SIZE,
    seed: int = SEED,
    force: bool = False,
    progress: bool | None = None,
) -> Path:
    """Draw the pictures unless they are there already; return the absolute path of their labels.csv.

    Prints nothing to standard output.

    folder: where the pictures are to be. None: the data set that the environment variable COURSE_DATA names
        (a labels.csv or its folder), which is used as it is, whatever the other arguments; without that
        variable, data/xrays in the project's folder, or in the current one outside the project.
    images: how many pictures, 16 to 1 000 000.
    size: their width and height in pixels, 32 to 4096.
    seed: 0 or more; another seed gives other patients.
    force: draw again, in place of a folder that this program made, whatever its arguments were.
    progress: True shows a progress bar on standard error, False none, None only if that is a terminal. A
        notebook is none, so there None keeps the stored output free of it and True shows the bar.

    Raises ValueError for an argument that is not as described, FileNotFoundError if COURSE_DATA
    names nothing usable, and FileExistsError if the folder holds something else: files not made by this
    program, or pictures made with other arguments.
    """
    wanted = {
        name: check_whole(name, value, *BOUNDS[name])
        for name, value in (("images", images), ("size", size), ("seed", seed))
    }
    named = os.environ.get("COURSE_DATA", "")
    if folder is None and named:
        if force:
            raise ValueError(
                "force must not be set while COURSE_DATA names the data: nothing is ever made there"
            )
        return _course_data(named)
    folder = Path(default_folder("xrays") if folder is None else folder).expanduser().resolve()
    return MAKER.make(folder, wanted, force, lambda new: _write(new, wanted, progress))


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MAKER.program}",
        description="Draw chest pictures that look like radiographs, with labels.csv, for the course. They "
        "are drawn by a program: no patient, no diagnosis. The same arguments give the same pictures.",
        epilog="A finished folder is reused. With no FOLDER, and the environment variable COURSE_DATA set, "
        "the data that it names is used and nothing is drawn. Prints the path of labels.csv.",
    )
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="default: data/xrays in the project")
    for name, default, metavar, what in (
        ("images", IMAGES, "N", "how many pictures"),
        ("size", SIZE, "PIXELS", "their width and height"),
        ("seed", SEED, "S", "another seed gives other patients"),
    ):
        text = f"{what}; {BOUNDS[name][0]} to {BOUNDS[name][1]} (default: {default})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar=metavar, help=text)
    parser.add_argument("--force", action="store_true", help="replace FOLDER, if this program made it")
    given = parser.parse_args(arguments)
    return printed(
        parser.prog,
        lambda: ensure(
            given.folder, images=given.images, size=given.size, seed=given.seed, force=given.force
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
