"""The course's companion package: small tested mirrors of what the notebooks define.

A room a subject; each imports only rooms below it:

    panels, exercises       what a notebook shows and asks      (panels: the only room with ipywidgets)
    plots, budget           pictures; memory known before it is spent   (budget's children train)
    checkup                 any Sequence examined, without training
    sequences               the three Sequences                 (this import and checkup's bring Keras)
    packing                 any source decoded once, into one file
    waiting                 is training waiting for data?
    sources, augmentation, normalisation, threads, notebook
    strays                  what an interrupted fit leaves behind, ended
    images, dataset, order  a file, a table of files, who reads what
    decoding                an opened file -> numbers
    formats, png, resizing  what Pillow does not tell of a file; PNG, strictly and fast; the one filter
    memory                  the limit, the peak, a function under a limit, turns at it
    scratch                 memory that a thread uses again
    checks                  of arguments

The names below load on first use, so that a child process which measures memory never pays for Keras
(importing TensorFlow 2.21 alone costs about 0.75 GB and several seconds). Panels, plots and exercises are
imported from their rooms: `from course_utils.panels import CutTheDeck`; so is what `budget` and `checkup`
have.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers read
    from .augmentation import Augmentation, Augmenter, Transform, warp
    from .dataset import Dataset, read_labels
    from .images import ImageError, image_size, load_image, load_mask
    from .memory import Outcome, PeakMeter, memory_limit, run_limited
    from .normalisation import Standardize, mean_and_deviation, to_unit_range
    from .notebook import claim, quiet
    from .order import epoch_order
    from .packing import make_pack, pack_bytes
    from .sequences import (
        AugmentingImageSequence,
        FollowEpoch,
        ImageSequence,
        PreprocessingImageSequence,
        head,
        make_model,
    )
    from .sources import FileSource, MaskSource, Pack, PackError, Source, color_mode_of
    from .strays import stop_stray_workers
    from .waiting import Waiting, measure_waiting

_ROOMS = {
    "augmentation": ("Augmentation", "Augmenter", "Transform", "warp"),
    "dataset": ("Dataset", "read_labels"),
    "images": ("ImageError", "image_size", "load_image", "load_mask"),
    "memory": ("Outcome", "PeakMeter", "memory_limit", "run_limited"),
    "normalisation": ("Standardize", "mean_and_deviation", "to_unit_range"),
    "notebook": ("claim", "quiet"),
    "order": ("epoch_order",),
    "packing": ("make_pack", "pack_bytes"),
    "sequences": (
        "AugmentingImageSequence",
        "FollowEpoch",
        "ImageSequence",
        "PreprocessingImageSequence",
        "head",
        "make_model",
    ),
    "sources": ("FileSource", "MaskSource", "Pack", "PackError", "Source", "color_mode_of"),
    "strays": ("stop_stray_workers",),
    "waiting": ("Waiting", "measure_waiting"),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
