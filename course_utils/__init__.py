"""The course's companion package: small tested mirrors of what the notebooks define.

Public names load on first use, so that a child process which measures memory never pays for Keras
(importing TensorFlow 2.21 alone costs about 0.75 GB and several seconds).
"""

from importlib import import_module

_HOMES = {
    "Dataset": "dataset",
    "read_labels": "dataset",
    "epoch_order": "order",
    "ImageError": "images",
    "load_image": "images",
    "load_mask": "images",
    "Augmentation": "augmentation",
    "Transform": "augmentation",
    "warp": "augmentation",
    "Standardise": "normalisation",
    "mean_and_deviation": "normalisation",
    "to_unit_range": "normalisation",
    "FileSource": "sources",
    "ImageSequence": "sequences",
    "AugmentingImageSequence": "sequences",
    "PreprocessingImageSequence": "sequences",
    "PeakMeter": "memory",
    "memory_limit": "memory",
    "run_limited": "memory",
    "claim": "notebook",
    "quiet": "notebook",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
