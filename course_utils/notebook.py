"""What a notebook's cells need around the lesson: a quiet import, a claim that can fail."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the lines that TensorFlow's C++ code writes while it is imported and started.

    They go to file descriptor 2 directly, so that neither `TF_CPP_MIN_LOG_LEVEL` (ignored for them since
    TensorFlow 2.20, tensorflow#100442) nor `contextlib.redirect_stderr` stops them. That variable does stop
    the notes that follow later, in `fit`; it is set to 1 (warnings and worse) unless you have set it. An
    exception raised inside the block is still shown: it is Python's, not the descriptor's.

    Example:
        >>> with quiet():
        ...     import keras
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no descriptor 2 (some Windows launchers): nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def claim(holds: bool, sentence: str, *, asked: bool = True) -> None:
    """Prints a sentence whose figures the cell has computed; fails when it is false.

    Args:
        holds: whether the sentence is true here, on this machine and these data.
        sentence: plain words, figures included.
        asked: False prints the sentence and that nothing is claimed: on too few pictures, or on some of which
            nobody knows what can be learnt from them.

    Raises:
        AssertionError: `holds` is false. The message is the sentence.

    Example:
        >>> held = sum(load_image(path).nbytes for path in paths)
        >>> claim(held > 10**5, f"{len(paths)} images take {held:,} bytes.")
        40 images take 655,360 bytes.
    """
    if not asked:
        print(sentence, "(Nothing is claimed on these pictures.)")
        return
    if not holds:
        raise AssertionError(f"Not true here: {sentence}")
    print(sentence)
