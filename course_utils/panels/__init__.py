"""The panels: controls, a function from another room, a picture. The only room that imports ipywidgets."""

from .cut_the_deck import CutTheDeck
from .is_it_still_true import IsItStillTrue
from .multiply_the_shape import MultiplyTheShape
from .same_picture_same_numbers import SamePictureSameNumbers
from .who_waits import WhoWaits
from .will_it_fit import WillItFit
from .will_it_run import WillItRun

__all__ = [
    "CutTheDeck",
    "IsItStillTrue",
    "MultiplyTheShape",
    "SamePictureSameNumbers",
    "WhoWaits",
    "WillItFit",
    "WillItRun",
]
