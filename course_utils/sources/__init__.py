"""Where the pixels come from: `Source` says what a source is, the other modules hold those we have."""

from .files import FileSource, MaskSource
from .protocol import Source, array_fault, check_source, is_source, named

__all__ = ["FileSource", "MaskSource", "Source", "array_fault", "check_source", "is_source", "named"]
