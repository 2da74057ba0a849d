"""Where the pixels come from: `Source` says what a source is, the other modules hold those we have."""

from .color import color_mode_of, has_color
from .files import FileSource, MaskSource
from .pack import Pack
from .pack_folder import PackError
from .protocol import Source, array_fault, check_source, is_source, named

__all__ = [
    "FileSource",
    "MaskSource",
    "Pack",
    "PackError",
    "Source",
    "array_fault",
    "check_source",
    "color_mode_of",
    "has_color",
    "is_source",
    "named",
]
