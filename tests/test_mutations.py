"""The tests' own test: each room is broken on purpose, in a copy, and its tests must go red."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from .running import ROOT, run

pytestmark = pytest.mark.mutation


class Mutation(NamedTuple):
    """In `file`, `before` becomes `after`; of the tests in `tests` those that match `chosen` must notice."""

    file: str
    before: str
    after: str
    tests: str
    chosen: str


BASIC = ("sequences", "len_is or labels_keep or differs_every or new_memory")
ROWS = ("sources", "positions_say")
AUGMENTED = ("augmented_sequences", "takes_the_same_way or without_augmenting")
A_BUFFER = """images = self.__dict__.setdefault('buffer', None)
        if images is None or len(images) != len(positions):
            images = self.buffer = np.empty("""
SEQUENCES, INDEX = "course_utils/sequences/basic", "data_scripts/index_folder"
AUGMENTING = "course_utils/sequences/augmenting"
AUGMENT, NORMAL = "course_utils/augmentation", "course_utils/normalisation"
ORDER, DATASET = "course_utils/order", "course_utils/dataset"
DECODING, PNG, RESIZING = "course_utils/decoding", "course_utils/png", "course_utils/resizing"
THREADS = "course_utils/threads"
PANELS, EXERCISE = "course_utils/panels/is_it_still_true", "course_utils/exercises/ex02"
PANEL, PLOTS, DECK = "course_utils/panels/panel", "course_utils/plots", "course_utils/panels/cut_the_deck"
RUN, SEEN = "course_utils/panels/will_it_run", ("seen_by_all",)
FETCH, SPLITS, TREE = "data_scripts/fetch_dataset", "data_scripts/_splits", "data_scripts/_tree"
BUDGET = "course_utils/budget/arithmetic"
PROBE, RULES = "course_utils/checkup/probe", "course_utils/checkup/rules_of_batches"
PACK, FOLDER = "course_utils/sources/pack", "course_utils/sources/pack_folder"
PACKING, STALE = "course_utils/packing", ("packing", "made_anew and changed")
FOLLOW, COLOR = "course_utils/sequences/follow", "course_utils/sources/color"
MUTATIONS = {
    "any label is right": (RULES, "[partner in known[image] for", "[True for", "checkup", "labels-leave"),
    "a buffer is not seen": (PROBE, "if kept and", "if not kept and", "checkup", "buffer-reused"),
    "last batch dropped": (SEQUENCES, "return math.ceil(", "return math.floor(", *BASIC),
    "labels shifted": (SEQUENCES, "self.labels[positions]", "self.labels[positions - 1]", *BASIC),
    "labels shuffled apart": (SEQUENCES, "self.labels[pos", "np.random.permutation(self.labels)[pos", *BASIC),
    "same order every epoch": (SEQUENCES, "self.seed, value, shuffle", "self.seed, 0, shuffle", *BASIC),
    "one buffer reused": (SEQUENCES, "images = np.empty(", A_BUFFER, *BASIC),
    "weights apart": (SEQUENCES, "weight[positions]", "weight[: len(positions)]", *ROWS),
    "positions of batch 0": (SEQUENCES, "self._batch(index)[1]", "self._batch(0)[1]", *ROWS),
    "all as the first": (AUGMENTING, ".seed, epoch, position)", ".seed, epoch, 0)", *AUGMENTED),
    "augmented in evaluation": (AUGMENTING, "if self.augment and ours", "if ours", *AUGMENTED),
    "divide by 254": (NORMAL, "np.float32(255)", "np.float32(254)", "normalisation", "unit_range"),
    "one batch's deviation": (NORMAL, "= squares + values", "= values", "normalisation", "streamed"),
    "seed reused": (AUGMENT, '("epoch", epoch)', '("epoch", 0)', "augmentation", "same_three"),
    "zooms swapped": (AUGMENT, "cos * self.width_", "cos * self.height_", "augmentation", "zoom_is"),
    "one coin for two": (AUGMENT, "and up_down <", "and left_right <", "augmentation", "drawn_by_itself"),
    "mirror without side": (EXERCISE, "::-1], -side", "::-1], side", "exercises", "stub and mirror"),
    "clip 16-bit": (DECODING, "np.divide(shades, 257,", "np.minimum(shades, 255,", "images", "16_bit"),
    "height is width": (DECODING, "get_size or size)", "get_size or size)[::-1]", "images", "shape_dtype"),
    "any checksum": (PNG, "if left or stream.read(4) !=", "if not stream.read(4) and", "png", "one_bit"),
    "edges are darker": (RESIZING, "np.float32) * _more(down)", "np.float32)", "resizing", "whole_factors"),
    "decoded too small": (DECODING, "DRAFT = 2", "DRAFT = 1", "decoding", "never_decoded_smaller"),
    "any slot's error": (THREADS, "failed[min(failed)]", "failed[max(failed)]", "threads", "first_slots"),
    "one order for all": (ORDER, "default_rng((seed, epoch))", "default_rng((seed, 0))", "order", "every"),
    "a patient in two splits": (DATASET, "if patient and", "if False and", "dataset", "wrong_tables"),
    "a deaf control": (PANEL, 'redraw, names="value"', 'redraw, names="rows"', "panels", "redraws_once"),
    "a deaf button": (RUN, "on_click(lambda _button: self.start())", "on_click(id)", "panels", "dot_to_the"),
    "a slider apart": (PANEL, 'for a in ("value", "max")', 'for a in ("max",)', "panels", "stays_inside"),
    "no words": (PLOTS, 'alt="{html.escape(self.alt)}"', 'alt=""', *SEEN, "alt_text"),
    "another's words": (DECK, 'f"{self.title}. {sentence}"', '"A deck."', *SEEN, "alt_text and cut"),
    "white on orange": (PLOTS, '"//", "black") if', '"//", "white") if', *SEEN, "texts_stand"),
    "by colour alone": (PLOTS, 'hatch="..", edge', 'hatch="", edge', *SEEN, "no_part"),
    "false counts": (PANELS, "sum(x * old[0] > 0", "sum(x * old[0] < 0", "panels", "still_true_says"),
    "classes swapped": (INDEX, "enumerate(classes)", "enumerate(classes[::-1])", "index_folder", "messy"),
    "copies apart": (SPLITS, "first.setdefault(digest, patient)", "patient", "layouts", "copies_never"),
    "given split drawn": (TREE, "parts if len(set(", "{} if len(set(", "layouts", "above_the_classes"),
    "epoch not followed": (FOLLOW, "sequence.epoch = epoch", "sequence.epoch = 0", "callers", "did_not_tell"),
    "colour is grey": (COLOR, "> APART", "> 999", "color", "patch"),
    "one batch forgotten": (BUDGET, "queued + 2, l", "queued + 1, l", "budget", "batches_alive"),
    "no play": (BUDGET, "base + PLAY * (total - base) + play", "total", "budget", "sums_that"),
    "a changed file": (FOLDER, "path).crc32 == self.crc32", "path).crc32 > 0", *STALE),
    "kept unseen": (PACKING, "!= row.pixels:", "== -1:", "packing", "still_true"),
    "two at once": (PACKING, "LOCK_EX | fcntl", "LOCK_SH | fcntl", "packing", "two_at_once"),
    "another's row": (PACK, "_start + int(position) *", "_start + slot *", "packing", "the_three_sequences"),
    "checksum ignored": (FETCH, '"md5") == md5', '"md5") != ""', "fetch_dataset", "wrong_checksum"),
}  # fmt: skip


def _run(folder: Path, mutation: Mutation) -> subprocess.CompletedProcess:
    for name in ("course_utils", "data_scripts", "tests", "notebooks"):
        skip = shutil.ignore_patterns("__pycache__", "screenshots", "pictures")
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, folder)
    (folder / ".pytest_cache").symlink_to(ROOT / ".pytest_cache")  # where the drawn pictures are
    module = folder / f"{mutation.file}.py"
    source = module.read_text(encoding="utf-8")
    assert mutation.before in source, f"{mutation.file}: the line to break is gone, name another"
    module.write_text(source.replace(mutation.before, mutation.after, 1), encoding="utf-8")
    chosen = (f"tests/test_{mutation.tests}.py", "-k", mutation.chosen)
    options = ("-q", "-x", "-p", "no:cacheprovider", "-o", "addopts=")
    # No plug-ins: nbval alone takes a second to load. And the backend that loads in half the time, for tests
    # that need Keras at all: nothing is trained.
    env = {"KERAS_BACKEND": "numpy", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return run("-m", "pytest", *options, *chosen, cwd=folder, env=env, timeout=300, fails=True)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_notices(tmp_path, xrays, name):
    done = _run(tmp_path, Mutation(*MUTATIONS[name]))
    assert done.returncode == 1, done.stdout[-3000:]  # 1: tests failed; 5 would be that none was chosen
    assert " failed" in done.stdout and " error" not in done.stdout.splitlines()[-1], done.stdout[-3000:]
