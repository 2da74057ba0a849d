"""What every panel is: controls above a sentence and a picture, with or without a kernel."""

import html
import os

import ipywidgets as widgets

from ..plots import Picture

SIDES = [64, 128, 256, 512, 1024, 2048]


class Panel:
    """Controls above a sentence and a picture. A plain class, not a Widget.

    Override `draw`. A subclass of Widget that also returns a picture shows nothing on ipywidgets 7.7.1
    (Colab); a plain class that returns text, PNG and its box's view works on 7 and 8, and a notebook
    opened without a kernel still shows the PNG.

    Attributes:
        box: the widget to show.
        controls: name -> control; set `.value` to drive the panel.
        shown: the `Picture` on show.
        calls: how often the picture was drawn.
    """

    def __init__(self, rows: list[list[widgets.Widget]]):
        self.controls = {c.description: c for row in rows for c in row if c.description}
        self.sentence, self.picture, self.problem = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.box = widgets.VBox([*map(widgets.HBox, rows), self.sentence, self.picture, self.problem])
        self.calls, self.shown = 0, None
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self._changed()

    def draw(self) -> tuple[str, Picture]:
        """The sentence (plain text) and the picture for the controls as they stand."""
        raise NotImplementedError

    def _changed(self, _change=None) -> None:
        try:
            sentence, self.shown = self.draw()
            self.calls += 1
            self.sentence.value = f"<p>{html.escape(sentence)}</p>"
            self.picture.value = self.shown.html
            self.problem.value = ""
        except Exception as error:
            # An exception in a callback is shown nowhere in a notebook: say it here.
            self.problem.value = (
                f'<p role="alert"><b>{html.escape(f"{type(error).__name__}: {error}")}</b></p>'
            )
            if "PYTEST_CURRENT_TEST" in os.environ:
                raise

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        bundle = {"text/plain": type(self).__name__, "application/vnd.jupyter.widget-view+json": view}
        if self.shown:  # else the first drawing failed, and the box says why
            bundle |= {"text/plain": self.shown.alt, "image/png": self.shown.base64}
        return bundle


def dropdown(description: str, options: list, value) -> widgets.Dropdown:
    # Wide enough for the longest description, which ipywidgets would cut.
    return widgets.Dropdown(
        description=description, options=options, value=value, style={"description_width": "initial"}
    )


def number_and_slider(description: str, least, most, value, step=1):
    """A number box and a slider that move together, and their links."""
    # A slider has no accessible name (ipywidgets 7 and 8), so a named number box goes with it.
    box, slider = (
        (widgets.BoundedIntText, widgets.IntSlider)
        if isinstance(step, int)
        else (widgets.BoundedFloatText, widgets.FloatSlider)
    )
    limits = {"min": least, "max": most, "step": step, "value": value}
    box = box(description=description, style={"description_width": "initial"}, **limits)
    slider = slider(readout=False, continuous_update=False, **limits)
    return box, slider, [widgets.link((slider, a), (box, a)) for a in ("value", "max")]
