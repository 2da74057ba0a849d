"""The three Sequences, a file each: read; augment too; normalise too. The only room that needs Keras."""

from .augmenting import AugmentingImageSequence
from .basic import ImageSequence
from .follow import FollowEpoch
from .head import head, make_model
from .preprocessing import PreprocessingImageSequence

__all__ = [
    "AugmentingImageSequence",
    "FollowEpoch",
    "ImageSequence",
    "PreprocessingImageSequence",
    "head",
    "make_model",
]
