"""Fixtures for the unit tests: a folder where the data is the index, and one as people have it."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """100 images of 8 x 8 pixels; every pixel of image i is i, so that a batch shows who is in it."""
    folder = tmp_path_factory.mktemp("numbered")
    paths = [folder / f"{i:03}.png" for i in range(100)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
    return paths


# What real folders hold; see write_picture.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "animated", "EXIF", "suffix")


def write_picture(folder, mode, name, values):
    """Writes grey values (uint8) as a file of that mode and returns its path."""
    picture = Image.fromarray(values)
    if mode == "I;16":
        return _saved(Image.fromarray(values.astype(np.uint16) * 257), folder / f"{name}.png")
    if mode == "suffix":  # a JPEG that calls itself PNG
        picture.save(folder / f"{name}.png", format="JPEG", quality=95)
        return folder / f"{name}.png"
    if mode == "animated":
        path = folder / f"{name}.gif"
        picture.save(path, save_all=True, append_images=[Image.new("L", picture.size, 77)])
        return path
    if mode == "EXIF":  # stored lying on its side, with a note how to turn it upright
        exif = Image.Exif()
        exif[0x0112] = 6
        path = folder / f"{name}.jpg"
        picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
        return path
    suffix = {"CMYK": "jpg", "YCbCr": "tif", "PA": "tif"}.get(mode, "png")
    if mode == "PA":
        picture = picture.convert("P")
    return _saved(picture.convert(mode), folder / f"{name}.{suffix}")


def _saved(picture, path):
    picture.save(path)
    return path


def write_flowers(folder):
    """Five classes of colour pictures, sixty of mixed sizes: each class has a colour of its own."""
    rng = np.random.default_rng(1)
    colours = {"daisy": (240, 235, 200), "iris": (70, 40, 200), "poppy": (220, 60, 20),
               "rose": (230, 90, 160), "tulip": (60, 160, 40)}  # fmt: skip
    for name, colour in colours.items():
        (folder / "flowers" / name).mkdir(parents=True)
        for i in range(12):
            height, width = rng.integers(40, 120, 2)
            y, x = np.mgrid[:height, :width]
            blossom = np.hypot(y / height - rng.uniform(0.4, 0.6), x / width - rng.uniform(0.4, 0.6)) < 0.35
            pixels = np.where(blossom[..., None], colour, (30, 90, 35)) + rng.normal(0, 8, (height, width, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / "flowers" / name / f"{i}.{('jpg', 'png')[i % 2]}")
    return folder / "flowers"


@pytest.fixture(scope="session")
def messy(tmp_path_factory):
    """A folder-per-class tree as people have it: all modes, odd sizes, odd names, one broken file."""
    folder = tmp_path_factory.mktemp("messy tree, mine")
    rng = np.random.default_rng(0)
    for number in range(96):
        label = ("no finding", "Lungenentzündung, 肺炎")[number % 2]
        place = folder / label / f"patient {number // 2:02}, follow-up"
        place.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in rng.integers(60, 220, 2))
        y, x = np.mgrid[:height, :width] / (height, width)[0]
        values = 120 + 90 * np.sin(5 * x + rng.uniform(0, 6)) * np.cos(4 * y) + rng.normal(0, 8, x.shape)
        values = np.clip(values, 0, 255).astype(np.uint8)
        write_picture(place, MODES[number % len(MODES)], f"{number:03}, «view» no. {number}", values)
    whole = write_picture(folder / "no finding", "L", "cut short", np.zeros((80, 80), np.uint8))
    whole.write_bytes(whole.read_bytes()[:60])
    (folder / "no finding" / "Thumbs.db").write_bytes(b"litter")
    return folder
