"""Predicted, rehearsed, measured: the peak memory of `fit` over a grid of settings.

    python tests/benchmarks/memory_budget.py [--only PATTERN]

Each model is weighed once. Then, for each setting, `predict` and `rehearse` say what `fit` will add to a
process that has trained a tiny model before, and a whole `fit` of two epochs in a child of its own shows it.
"full": training waits until the queue is full; "starved": loading is slower than training. About twelve
minutes on two cores.
"""

import argparse
import os
import platform
import re
import statistics
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from course_utils import read_labels, run_limited
from course_utils.budget import predict, rehearse, weigh_model
from course_utils.budget.children import WARM_UP
from course_utils.memory import memory_now
from data_scripts import make_dataset

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "notebooks/pictures/memory_budget.png"
MB = 1e6

# model, batch size, side, dtype, workers, processes, queue, pace
GRID = [
    ("pooled", 128, 128, "float32", 1, False, 10, "full"),
    ("pooled", 128, 128, "float32", 2, False, 2, "full"),
    ("pooled", 128, 128, "uint8", 4, False, 10, "full"),
    ("pooled", 32, 128, "float32", 2, False, 40, "full"),
    ("pooled", 128, 128, "float32", 2, False, 10, "starved"),
    ("pooled", 128, 128, "float32", 2, True, 10, "full"),
    ("pooled", 128, 128, "float32", 4, True, 2, "full"),
    ("course", 32, 256, "float32", 1, False, 10, "full"),
    ("course", 32, 256, "float32", 2, False, 10, "full"),
    ("course", 32, 256, "uint8", 2, False, 10, "full"),
    ("course", 96, 256, "float32", 2, False, 1, "full"),
    ("course", 32, 256, "float32", 2, False, 10, "starved"),
    ("course", 32, 256, "float32", 2, True, 2, "full"),
    ("course", 32, 256, "uint8", 4, True, 10, "full"),
    ("document's", 32, 128, "float32", 1, False, 10, "full"),
    ("document's", 32, 128, "float32", 2, False, 10, "full"),
    ("document's", 96, 128, "uint8", 2, False, 2, "full"),
    ("document's", 32, 128, "float32", 2, True, 4, "full"),
    ("document's", 32, 128, "float32", 1, False, 10, "starved"),
    ("dense", 32, 128, "float32", 1, False, 10, "full"),
    ("dense", 96, 128, "float32", 2, False, 10, "full"),
    ("dense", 32, 128, "float32", 2, True, 2, "full"),
    ("deep", 16, 128, "float32", 1, False, 10, "full"),
    ("deep", 48, 128, "float32", 2, False, 10, "full"),
    ("deep", 32, 128, "uint8", 2, False, 2, "full"),
]


def build_model(kind: str, image_shape: tuple[int, int, int]):
    """Almost no weights; notebook 01's; the one that half the web's examples begin with; 32 MB of weights;
    many layers at full size."""
    import keras

    from course_utils import make_model

    layers, last = keras.layers, keras.layers.Dense(1)
    if kind == "course":
        model = make_model(image_shape, last)
    else:
        body = {
            "pooled": lambda: [layers.GlobalAveragePooling2D()],
            "document's": lambda: [layers.Conv2D(32, 3, padding="same", activation="relu"), layers.Flatten()],
            "dense": lambda: [layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(2048)],
            "deep": lambda: [*_deep(layers), layers.GlobalAveragePooling2D()],
        }[kind]()
        model = keras.Sequential([keras.Input(image_shape), *body, last])
    model.compile("adam", "mse")
    return model


def _deep(layers):
    for filters in (16, 32, 64):
        yield from (layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization(), layers.ReLU())
        yield from (layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D())


def make_sequence(paths, batch_size, side, dtype, workers, processes, queue, batches):
    from course_utils import ImageSequence

    paths = (paths * (1 + batches * batch_size // len(paths)))[: batches * batch_size]
    options = {"workers": workers, "use_multiprocessing": processes, "max_queue_size": queue}
    labels = np.zeros(len(paths), np.float32)
    return ImageSequence(paths, labels, batch_size, (side, side), dtype=dtype, **options)


def wait_for_the_queue(quiet: float):
    """A callback that waits, after the first two steps of an epoch, until nothing more is read ahead: until
    the memory of this process and its workers has not grown for so many seconds."""
    import keras

    def wait(step, logs):
        start = since = time.monotonic()
        most = memory_now()
        while step < 2 and time.monotonic() - since < quiet and time.monotonic() - start < 20:
            time.sleep(0.05)
            if (now := memory_now()) > most + MB:
                most, since = now, time.monotonic()

    return keras.callbacks.LambdaCallback(on_train_batch_end=wait)


def fit(model_of, sequence_of, pace: str) -> None:
    """The whole `fit`, two epochs: the queue full, or a Sequence slower than the model."""
    import keras

    sequence = sequence_of()

    class Slow(keras.utils.PyDataset):
        def __init__(self):
            super().__init__(sequence.workers, sequence.use_multiprocessing, sequence.max_queue_size)

        def __len__(self):
            return 8

        def __getitem__(self, index):
            time.sleep(0.4)
            return sequence[index]

    model = model_of(sequence.source.shape)
    if pace == "full":
        # Worker processes deliver all at once, then nothing for a while.
        wait = wait_for_the_queue(quiet=2.5 if sequence.use_multiprocessing else 0.6)
        model.fit(sequence, epochs=2, shuffle=False, verbose=0, callbacks=[wait])
    else:
        model.fit(Slow(), epochs=2, shuffle=False, verbose=0)


def measure(model_of, sequence_of, pace: str = "full", **options):
    """The Outcome of the whole `fit` in a child that has trained a tiny model before."""
    imports = WARM_UP
    outcome = run_limited(fit, model_of, sequence_of, pace, imports=imports, timeout=300, **options)
    assert outcome.ended == "finished", f"{outcome.reason}\n{outcome.error}"
    return outcome


def functions(paths, setting):
    """The functions that make the model and the Sequence of a setting."""
    kind, batch_size, side, dtype, workers, processes, queue, _ = setting
    batches = queue + 12 if workers > 1 or processes else 10
    numbers = paths, batch_size, side, dtype, workers, processes, queue, batches
    return lambda image_shape: build_model(kind, image_shape), lambda: make_sequence(*numbers)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {platform.system()}"


def within(found: float, measured: float, part: float, floor: float) -> bool:
    return abs(found - measured) <= max(part * measured, floor * MB)


def draw(rows, path: Path) -> None:
    """Predicted against measured, a dot a setting, with its range from a starved queue to the highest."""
    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    axes = figure.subplots()
    end = 1.1 * max(row["highest"] for row in rows) / MB
    axes.plot([0, end], [0, end], color="black", linewidth=1, label="predicted = measured")
    looks = {"threads, queue full": "o", "processes, queue full": "s", "queue starved": "x"}
    for name, marker in looks.items():
        some = [row for row in rows if row["group"] == name]
        x = [row["measured"] / MB for row in some]
        y = [row["predicted"] / MB for row in some]
        spans = [[(row["predicted"] - row["lowest"]) / MB for row in some],
                 [(row["highest"] - row["predicted"]) / MB for row in some]]  # fmt: skip
        axes.errorbar(x, y, spans, fmt=marker, elinewidth=0.8, markersize=6, label=name)
    axes.set(
        xlabel="measured: MB that fit added", ylabel="predicted; the line: starved to highest", xlim=(0, None)
    )
    axes.set_ylim(0, end)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="settings whose line matches this regular expression")
    chosen = parser.parse_args()
    labels = make_dataset.ensure(ROOT / "data/xrays")
    paths, costs, rows, start = [str(path) for path in read_labels(labels).paths], {}, [], time.monotonic()
    print(machine())
    print(
        "model       batch side dtype   workers     queue        | predicted rehearsed measured  highest (MB)"
    )
    for setting in GRID:
        kind, size, side, dtype, workers, processes, queue, pace = setting
        mode = "processes" if processes else "threads"
        line = f"{kind:11} {size:5} {side:4} {dtype:7} {workers} {mode:9} {queue:5} {pace:7}"
        if not re.search(chosen.only, line):
            continue
        model_of, sequence_of = functions(paths, setting)
        if (kind, side) not in costs:
            costs[kind, side] = weigh_model(model_of, (side, side, 1))
        options = {"workers": workers, "use_multiprocessing": processes, "max_queue_size": queue}
        forecast = predict(costs[kind, side], batch_size=size, dtype=dtype, **options)
        rehearsal = rehearse(model_of, sequence_of)
        measured = measure(model_of, sequence_of, pace).growth
        base = forecast.total - forecast.growth
        predicted = forecast.growth if pace == "full" else forecast.lowest - base
        row = {
            "predicted": predicted, "rehearsed": rehearsal.growth, "measured": measured, "mode": mode,
            "highest": forecast.highest - base, "lowest": min(predicted, forecast.lowest - base),
            "group": "queue starved" if pace == "starved" else f"{mode}, queue full",
        }  # fmt: skip
        rows.append(row)
        figures = [row[name] / MB for name in ("predicted", "rehearsed", "measured", "highest")]
        passed = "" if figures[2] <= figures[3] else "  ABOVE THE HIGHEST"
        print(f"{line} | " + " ".join(f"{figure:9.0f}" for figure in figures) + passed, flush=True)
    for way in ("predicted", "rehearsed"):
        for group in ("threads, queue full", "processes, queue full", "queue starved", "queue full"):
            some = [
                row
                for row in rows
                if group in row["group"] and (way, group[:13]) != ("rehearsed", "queue starved")
            ]
            if some:
                off = [abs(row[way] - row["measured"]) / row["measured"] for row in some]
                narrow = sum(within(row[way], row["measured"], 0.10, 16) for row in some)
                wide = sum(within(row[way], row["measured"], 0.25, 32) for row in some)
                print(
                    f"{way}, {group}: off by {statistics.median(off):.0%} at the median, {max(off):.0%} at "
                    f"the worst; within max(10 %, 16 MB) {narrow} of {len(some)}, max(25 %, 32 MB) {wide}"
                )
    print(f"{len(rows)} settings, {(time.monotonic() - start) / 60:.1f} minutes")
    if not chosen.only:
        draw(rows, PICTURE)


if __name__ == "__main__":
    main()
