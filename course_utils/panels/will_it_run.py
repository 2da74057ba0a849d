"""*Will it fit?*, of notebook 04: images, model, workers and queue, and a rehearsal on request."""

import functools
import html
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import ipywidgets as widgets

from ..budget import BINDER, ModelCost, Rehearsal, Settings, TrainingFailed, predict, rehearse
from ..memory import MemoryLimit, megabytes, memory_free, memory_limit
from ..plots import Picture, stacked
from .panel import SIDES, Panel, dropdown

TYPICAL = 12  # seconds that a rehearsal takes, most of them TensorFlow's


class WillItRun(Panel):
    """*Will it fit?* in full: what a `fit` will take at its peak, part by part, against two limits.

    *Rehearse* trains on the first batches in a child process and adds what that took, as a dot; *Stop* ends
    it.

    Args:
        cost: what the model takes, from `weigh_model`.
        build_model: the function that `cost` was weighed with. It has to take the image's shape.
        make_sequence: a function of `Settings` that returns the Sequence to rehearse; it runs in the child.
        limit: the limit to draw; None asks `memory_limit()`.

    Attributes:
        rehearsed: settings -> `Rehearsal`, of all that were rehearsed.

    Example:
        >>> def make_sequence(settings):
        ...     size, options = settings.image_shape[:2], {"workers": settings.workers}
        ...     return ImageSequence(paths, labels, settings.batch_size, size, **options)
        >>> panel = WillItRun(cost, build_model, make_sequence)
    """

    title = "Will it fit?"

    def __init__(
        self,
        cost: ModelCost,
        build_model: Callable[[tuple[int, ...]], Any],
        make_sequence: Callable[[Settings], Any],
        limit: MemoryLimit | None = None,
    ):
        self.cost, self.limit = cost, limit or memory_limit()
        self._functions = build_model, make_sequence
        self.batch_size = dropdown("Batch size", [1, 8, 16, 32, 64, 128, 256], 32)
        sides = sorted({*SIDES, cost.image_shape[0]})
        self.side = dropdown("Image height and width", sides, cost.image_shape[0])
        self.dtype = dropdown("Numbers (dtype)", ["float32", "uint8"], cost.dtype)
        self.workers = dropdown("Workers", [1, 2, 4, 8], 2)
        self.kind = dropdown("Threads or processes", ["threads", "processes"], "threads")
        self.queue = dropdown("Queue (max_queue_size)", [1, 2, 5, 10, 20, 40], 10)
        self.rehearsed: dict[Settings, Rehearsal] = {}
        # Neither is ever disabled: who has pressed one by keyboard would be thrown out of the panel.
        self.rehearse = widgets.Button(description="Rehearse")
        self.stop = widgets.Button(description="Stop")
        self.status = widgets.HTML()
        self._ended, self._thread = threading.Event(), None
        super().__init__(
            [
                [self.batch_size, self.side, self.dtype],
                [self.workers, self.kind, self.queue],
            ],
            actions=[self.rehearse, self.stop, self.status],
        )
        self.rehearse.on_click(lambda _button: self.start())
        self.stop.on_click(lambda _button: self._ended.set())

    @property
    def settings(self) -> Settings:
        """What the controls say."""
        side, channels = self.side.value, self.cost.image_shape[2:]
        return Settings(
            self.batch_size.value,
            (side, side, *channels),
            self.dtype.value,
            self.workers.value,
            self.kind.value == "processes",
            self.queue.value,
        )

    def draw(self) -> tuple[str, Picture]:
        settings = self.settings
        forecast = predict(self.cost, settings)
        here, binder = forecast.verdict(self.limit), forecast.verdict("binder")
        n, side = settings.batch_size, self.side.value
        sentence = (
            f"{n} images of {side} × {side}, {settings.dtype}: {megabytes(settings.batch_bytes)} a batch. "
            f"About {megabytes(forecast.total)} at the peak, {megabytes(forecast.highest)} at the most. "
            f"Here: {here.answer}. On Binder: {binder.answer}."
        )
        if advice := forecast.advice(self.limit):
            sentence += f" First to change: {advice[0].split(':')[0].replace(' saves', ', which saves')}."
        if not settings.has_queue:
            sentence += " One worker thread: no queue."
        if not self.cost.fits(settings):
            sentence += f" The model was weighed at {self.cost.image_shape[0]}; its part is scaled."
        rehearsal = self.rehearsed.get(settings)
        if rehearsal:
            sentence += f" Rehearsed: {rehearsal}"
        picture = stacked(
            forecast.parts,
            {f"limit here ({self.limit.source})": self.limit.bytes, "Binder": BINDER.bytes},
            alt=f"{self.title} {sentence}",
            measured=rehearsal.peak if rehearsal and rehearsal.fits else None,
        )
        return sentence, picture

    def start(self) -> None:
        """Rehearses the settings as they stand, in a thread; returns at once. One at a time: if one is
        under way, nothing happens."""
        if self._thread and self._thread.is_alive():
            return
        self._ended.clear()
        self._thread = threading.Thread(target=self._follow, args=(self.settings,), daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Waits until the rehearsal that was started has ended."""
        if self._thread:
            self._thread.join(timeout)

    def _follow(self, settings: Settings) -> None:
        """Says how long it takes so far, until the rehearsal is over; then draws what it found."""
        build_model, make_sequence = self._functions
        said, start = "", time.monotonic()
        forecast, free = predict(self.cost, settings), memory_free()
        # Under an allowance a child uses two cores, as the run will not: so only where it might not fit.
        allowance = None if forecast.highest - self.cost.base < free else max(free, 10**7)
        with ThreadPoolExecutor(1) as pool:
            make = functools.partial(make_sequence, settings)
            work = pool.submit(rehearse, build_model, make, allowance=allowance, stop=self._ended)
            while not work.done():
                seconds = time.monotonic() - start
                progress = f"Rehearsing in a process of its own: {seconds:.0f} s, of about {TYPICAL}."
                self._say(progress, aloud=seconds < 1)
                wait([work], timeout=1)
        try:
            self.rehearsed[settings] = work.result()
        except (TrainingFailed, TypeError) as error:
            said = "Stopped." if self._ended.is_set() else str(error).splitlines()[0]
        self._say(said)
        self.redraw()

    def _say(self, text: str, aloud: bool = True) -> None:
        live = "polite" if aloud else "off"  # a screen reader need not count the seconds
        self.status.value = f'<span role="status" aria-live="{live}">{html.escape(text)}</span>'
